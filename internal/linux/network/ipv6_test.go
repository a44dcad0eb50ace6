package network_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/linux/network"
	"lus/internal/model/container"
	model "lus/internal/model/network"
)

// six makes a network one of both versions of IP.
func six(n *model.Network) { n.EnableIPv6 = true }

// ip6 is a container's address of IPv6, with a port.
func (b *box) ip6(port uint16) string {
	return netip.AddrPortFrom(b.eps[0].IP6.Addr(), port).String()
}

// publish6 publishes ports at both addresses of a container.
func publish6(t *testing.T, m *network.Manager, b *box, specs ...string) container.PortMap {
	t.Helper()
	ep := b.eps[0]
	got, err := m.Publish(t.Context(), b.id, network.Ways{V4: network.Way{NetworkID: ep.NetworkID, IP: ep.IP.Addr()},
		V6: network.Way{NetworkID: ep.NetworkID, IP: ep.IP6.Addr()}}, ports(t, specs...))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// bridged6 says whether the kernel shows bridged packets to the rules of IPv6.
const bridged6 = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"

// bridgedRules6 sets whether bridged packets are shown to the rules.
func bridgedRules6(t *testing.T, on string) {
	t.Helper()
	old, err := os.ReadFile(bridged6)
	if err != nil {
		if on == "1" {
			t.Skip("this kernel shows no bridged packets to rules: br_netfilter is not loaded")
		}
		return
	}
	write := func(v string) {
		if err := host().do(func() error { return os.WriteFile(bridged6, []byte(v), 0) }); err != nil {
			t.Fatal(err)
		}
	}
	write(on)
	t.Cleanup(func() { write(strings.TrimSpace(string(old))) })
}

// A network with IPv6 that names no subnet gets one of the host's own range, its
// containers addresses there at once, and the way out by the host's address.
func TestIPv6(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	for _, bridged := range []string{"0", "1"} {
		t.Run("bridged rules "+bridged, func(t *testing.T) {
			bridgedRules6(t, bridged)
			m := newManager(t)
			n, other := newNetwork(t, m, six), newNetwork(t, m, six)
			if len(n.IPAM.Config) != 2 || !n.IPAM.Config[1].IsIPv6() || n.IPAM.Config[1].Gateway == "" {
				t.Fatalf("the network's pools are %+v", n.IPAM.Config)
			}
			a, b, far := newBox(t, m, "a", n), newBox(t, m, "b", n), newBox(t, m, "far", other)
			if got, err := a.answers("tcp", b.ip6(80)); err != nil || got != "b "+a.eps[0].IP6.Addr().String() {
				t.Errorf("a neighbour: %q, %v", got, err)
			}
			if got, err := a.answers("tcp", "[fd99::2]:80"); err != nil || got != "remote fd99::1" {
				t.Errorf("the outside: %q, %v", got, err)
			}
			if got, err := far.ask("tcp", a.ip6(80)); err == nil {
				t.Errorf("another network: %q", got)
			}
			if out := a.sh(t, "ip", "-6", "addr", "show", "dev", "eth0"); strings.Contains(out, "tentative") || !strings.Contains(out, "fe80:") {
				t.Errorf("the container's addresses:\n%s", out)
			}
			// Nothing comes in that is not published, not even to who knows the way.
			remote.sh(t, "ip", "-6", "route", "replace", n.IPAM.Config[1].Subnet, "via", "fd99::1")
			if got, err := remote.ask("tcp", a.ip6(80)); err == nil {
				t.Errorf("from outside to what is not published: %q", got)
			}
			got := publish6(t, m, b, "8080:80", "8081:80/udp")
			if on := got["80/tcp"]; len(on) != 2 || on[0].HostIP != "0.0.0.0" || on[1].HostIP != "::" || on[1].HostPort != "8080" {
				t.Errorf("published at %+v", on)
			}
			for who, from := range map[string]ns{"remote fd99::2": remote, "host fd99::1": host(), "far": far.ns, "a": a.ns, "b": b.ns} {
				if got, err := from.answers("tcp", "[fd99::1]:8080"); err != nil || !strings.HasPrefix(got, "b ") || strings.HasPrefix(who, "remote") && got != "b fd99::2" {
					t.Errorf("the published port from %s: %q, %v", who, got, err)
				}
			}
			if got, err := remote.answers("udp", "[fd99::1]:8081"); err != nil || !strings.HasPrefix(got, "b ") {
				t.Errorf("the published UDP port: %q, %v", got, err)
			}
			own, err := host().ask("tcp", "[::1]:8080")
			if bridged == "0" && (err != nil || !strings.HasPrefix(own, "b ")) {
				t.Errorf("by ::1: %q, %v", own, err)
			}
			if bridged == "1" && (err == nil || !strings.Contains(err.Error(), "refused")) {
				t.Errorf("by ::1 where that cannot be, which has to be told at once: %q, %v", own, err)
			}
			if err := m.Unpublish(t.Context(), b.id); err != nil {
				t.Fatal(err)
			}
			publish6(t, m, a, "8080:80") // the port is free again
			if got, err := remote.answers("tcp", "[fd99::1]:8080"); err != nil || got != "a fd99::2" {
				t.Errorf("the port of the next: %q, %v", got, err)
			}
		})
	}
}

// --internal and enable_icc=false hold for IPv6 too.
func TestIPv6Closed(t *testing.T) {
	needRoot(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	m := newManager(t)
	inner := newNetwork(t, m, six, func(n *model.Network) { n.Internal = true })
	a, b := newBox(t, m, "a", inner), newBox(t, m, "b", inner)
	if a.eps[0].Gateway6.IsValid() {
		t.Error("an internal network has a gateway")
	}
	if _, err := a.answers("tcp", b.ip6(80)); err != nil {
		t.Errorf("a neighbour on an internal network: %v", err)
	}
	if got, err := a.ask("tcp", "[fd99::2]:80"); err == nil {
		t.Errorf("the outside from an internal network: %q", got)
	}
	silent := newNetwork(t, m, six, func(n *model.Network) {
		n.Options = map[string]string{"com.docker.network.bridge.enable_icc": "false"}
	})
	c, d := newBox(t, m, "c", silent), newBox(t, m, "d", silent)
	if got, err := c.ask("tcp", d.ip6(80)); err == nil {
		t.Errorf("a neighbour where they are not to talk: %q", got)
	}
	if _, err := c.answers("tcp", "[fd99::2]:80"); err != nil {
		t.Errorf("the outside: %v", err)
	}
}

// A Manager that comes after one that was killed keeps addresses, rules and
// ports of who runs, and clears the rest away.
func TestIPv6Survives(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	cfg := network.Config{Instance: "0b0b0b", LockDir: t.TempDir()}
	first, err := network.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork(t, first, six)
	alive, dead := newBox(t, first, "alive", n), newBox(t, first, "dead", n)
	live := publish6(t, first, alive, "8080:80")
	publish6(t, first, dead, "8081:80")
	first.Close()

	second := newManager(t, func(c *network.Config) { *c = cfg })
	ep := alive.eps[0]
	running := []network.Running{{ContainerID: alive.id, Endpoints: alive.eps, Ports: live,
		Ways: network.Ways{V4: network.Way{NetworkID: n.ID, IP: ep.IP.Addr()}, V6: network.Way{NetworkID: n.ID, IP: ep.IP6.Addr()}}}}
	if err := second.Reconcile(t.Context(), []*model.Network{n}, running); err != nil {
		t.Fatal(err)
	}
	if got, err := remote.answers("tcp", "[fd99::1]:8080"); err != nil || got != "alive fd99::2" {
		t.Errorf("the port of who runs: %q, %v", got, err)
	}
	if got, err := remote.ask("tcp", "[fd99::1]:8081"); err == nil {
		t.Errorf("the port of the dead: %q", got)
	}
	if a, err := second.Reserve(t.Context(), n.ID, "next", network.Wanted{IP6: dead.eps[0].IP6.Addr()}); err != nil || a.IP6 != dead.eps[0].IP6 {
		t.Errorf("the address of the dead: %+v, %v", a, err)
	}
	if _, err := second.Reserve(t.Context(), n.ID, "other", network.Wanted{IP6: ep.IP6.Addr()}); !errs.Is(err, errs.Conflict) {
		t.Errorf("the address of who runs: %v", err)
	}
}

// A host without IPv6 keeps every network that does not ask for it, and says so
// of one that does.
func TestIPv6SwitchedOff(t *testing.T) {
	needRoot(t)
	run(t, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
	t.Cleanup(func() { run(t, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0") })
	m := newManager(t)
	n := newNetwork(t, m)
	a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
	publish(t, m, b, "8080:80")
	if _, err := a.answers("tcp", b.ip.String()+":80"); err != nil {
		t.Error(err)
	}
	asked := &model.Network{ID: strings.Repeat("6", 64), Name: "six", Driver: "bridge", EnableIPv6: true}
	err := m.Ensure(t.Context(), asked)
	if !errs.Is(err, errs.Unsupported) || !strings.Contains(err.Error(), "disable_ipv6") {
		t.Errorf("a network with IPv6: %v", err)
	}
	// A network from before the switch keeps nobody else from starting, and says
	// why it is not there.
	if err := m.Reconcile(t.Context(), []*model.Network{n, asked}, nil); err == nil {
		t.Error("a network that cannot be was taken up again")
	}
	if _, err := m.Reserve(t.Context(), n.ID, "next", network.Wanted{}); err != nil {
		t.Errorf("another network: %v", err)
	}
	if _, err := m.Reserve(t.Context(), asked.ID, "next", network.Wanted{}); err == nil || !strings.Contains(err.Error(), "disable_ipv6") {
		t.Errorf("the network that is not there: %v", err)
	}
	if out := run(t, "nft", "list", "tables"); strings.Contains(out, "ip6 ") {
		t.Errorf("there is a table for IPv6:\n%s", out)
	}
}

// A port is had on both versions of IP or on none, and the message names who
// has it.
func TestIPv6PortClash(t *testing.T) {
	needRoot(t)
	m := newManager(t)
	n := newNetwork(t, m, six)
	a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
	publish6(t, m, a, "[::]:8080:80")
	ep := b.eps[0]
	ways := network.Ways{V4: network.Way{NetworkID: n.ID, IP: ep.IP.Addr()}, V6: network.Way{NetworkID: n.ID, IP: ep.IP6.Addr()}}
	_, err := m.Publish(t.Context(), b.id, ways, ports(t, "8080:80"))
	if !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "[::]:8080") || !strings.Contains(err.Error(), "container "+a.id[:12]) {
		t.Errorf("a port that another has of IPv6: %v", err)
	}
	publish(t, m, b, "0.0.0.0:8080:80") // nothing of the attempt was kept
	if err := m.Unpublish(t.Context(), b.id); err != nil {
		t.Fatal(err)
	}
	got := publish6(t, m, b, "80")["80/tcp"]
	if len(got) != 2 || got[0].HostPort != got[1].HostPort {
		t.Errorf("a port of the host's choice: %+v", got)
	}
}

// On the network of one of the host's interfaces a container is at home with
// both of its addresses.
func TestIPv6OnDirectNetworks(t *testing.T) {
	for _, driver := range []string{"macvlan", "ipvlan"} {
		t.Run(driver, func(t *testing.T) {
			needKind(t, driver)
			leavesNothing(t)
			remote := lan(t)
			remote.serve(t, "remote", 80)
			m := newManager(t)
			n := newNetwork(t, m, six, direct(driver, "wan0", ""), func(n *model.Network) {
				n.IPAM.Config = append(n.IPAM.Config, model.Pool{Subnet: "fd99::/64", Gateway: "fd99::2", IPRange: "fd99::100/120"})
			})
			a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
			if got, err := a.answers("tcp", "[fd99::2]:80"); err != nil || got != "remote "+a.eps[0].IP6.Addr().String() {
				t.Errorf("a neighbour of the host: %q, %v", got, err)
			}
			if got, err := remote.answers("tcp", b.ip6(80)); err != nil || got != "b fd99::2" {
				t.Errorf("from a neighbour of the host: %q, %v", got, err)
			}
			if got, err := a.answers("tcp", b.ip6(80)); err != nil || !strings.HasPrefix(got, "b ") {
				t.Errorf("each other: %q, %v", got, err)
			}
		})
	}
}

// Docker's chain for the administrator lets our bridges through by IPv6 too, as
// long as they are there.
func TestIPv6BesideDocker(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	run(t, "nft", "add table ip6 filter; add chain ip6 filter DOCKER-USER; add chain ip6 filter FORWARD { type filter hook forward priority 0; policy drop; }; add rule ip6 filter FORWARD counter jump DOCKER-USER")
	t.Cleanup(func() { run(t, "nft", "delete", "table", "ip6", "filter") })
	m := newManager(t)
	n := newNetwork(t, m, six)
	a := newBox(t, m, "a", n)
	if got, err := a.answers("tcp", "[fd99::2]:80"); err != nil || got != "remote fd99::1" {
		t.Errorf("the outside: %q, %v", got, err)
	}
	publish6(t, m, a, "8080:80")
	if got, err := remote.answers("tcp", "[fd99::1]:8080"); err != nil || got != "a fd99::2" {
		t.Errorf("the published port: %q, %v", got, err)
	}
	if w := m.Warnings(); len(w) > 0 {
		t.Errorf("there is nothing to warn of: %v", w)
	}
	if err := m.Detach(t.Context(), n.ID, a.id); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "nft", "list", "chain", "ip6", "filter", "DOCKER-USER"); strings.Contains(out, "accept") {
		t.Errorf("our rules stay there:\n%s", out)
	}
}

// The kernel has no IPv6 on an interface with packets smaller than 1280 bytes:
// who asks for such is told, and a way out that is narrower makes no difference.
func TestIPv6NeedsLargePackets(t *testing.T) {
	needRoot(t)
	lan(t)
	run(t, "ip", "link", "set", "wan0", "mtu", "1200")
	m := newManager(t)
	n := newNetwork(t, m, six)
	a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
	if _, err := a.answers("tcp", b.ip6(80)); err != nil {
		t.Error(err)
	}
	asked := &model.Network{ID: strings.Repeat("6", 64), Name: "small", Driver: "bridge", EnableIPv6: true,
		Options: map[string]string{"com.docker.network.driver.mtu": "1200"}}
	if err := m.Ensure(t.Context(), asked); !errs.Is(err, errs.Invalid) || !strings.Contains(err.Error(), "1280") {
		t.Errorf("packets of 1200 bytes: %v", err)
	}
}

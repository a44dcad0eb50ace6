package network_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/network"
	model "lus/internal/model/network"
)

// needKind skips where the kernel has no such interfaces.
func needKind(t *testing.T, kind string) {
	t.Helper()
	needRoot(t)
	run(t, "ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1")
	defer func() { run(t, "ip", "link", "del", "probe0") }()
	if out, err := exec.Command("ip", "link", "add", "link", "probe0", "name", "probe2", "type", kind).CombinedOutput(); err != nil {
		t.Skipf("this kernel has no %s: %s", kind, out)
	}
}

func direct(driver, parent, mode string) func(*model.Network) {
	return func(n *model.Network) {
		n.Driver, n.Options = driver, map[string]string{}
		if parent != "" {
			n.Options["parent"] = parent
			n.IPAM.Config = []model.Pool{{Subnet: "10.99.0.0/24", Gateway: "10.99.0.2", IPRange: "10.99.0.128/25"}}
		}
		if mode != "" {
			n.Options[driver+"_mode"] = mode
		}
	}
}

// On macvlan and ipvlan a container is on the parent's own network: its
// neighbours there reach it at its address, without the host in between.
func TestDirectNetworks(t *testing.T) {
	for _, c := range []struct{ driver, mode string }{
		{"macvlan", ""}, {"macvlan", "private"}, {"ipvlan", ""}, {"ipvlan", "l2"}, {"ipvlan", "l3"},
	} {
		t.Run(c.driver+" "+c.mode, func(t *testing.T) {
			needKind(t, c.driver)
			leavesNothing(t)
			remote := lan(t)
			remote.serve(t, "remote", 80)
			far := newNS(t)
			run(t, "ip", "link", "add", "far0", "type", "veth", "peer", "name", "far1")
			moveLink(t, "far0", remote)
			moveLink(t, "far1", far)
			remote.sh(t, "ip", "addr", "add", "10.97.0.1/24", "dev", "far0")
			remote.sh(t, "ip", "link", "set", "far0", "up")
			remote.sh(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
			far.sh(t, "ip", "addr", "add", "10.97.0.2/24", "dev", "far1")
			far.sh(t, "ip", "link", "set", "far1", "up")
			far.sh(t, "ip", "route", "add", "default", "via", "10.97.0.1")
			far.serve(t, "far", 80)

			m := newManager(t)
			n := newNetwork(t, m, direct(c.driver, "wan0", c.mode))
			a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
			if !netip.MustParsePrefix("10.99.0.128/25").Contains(a.ip) {
				t.Errorf("address %s is not of the range", a.ip)
			}
			if c.mode == "l3" { // nobody answers for its addresses: the router has to know
				remote.sh(t, "ip", "route", "add", "10.99.0.128/25", "via", "10.99.0.1")
			}
			asks := func(who string, from ns, to, want string) {
				t.Helper()
				asks := from.answers
				if want == "" {
					asks = from.ask
				}
				got, err := asks("tcp", to)
				if want == "" && err == nil || want != "" && !like(got, want) {
					t.Errorf("%s: %q, %v; want %q", who, got, err, want)
				}
			}
			asks("to its neighbour on the wire", a.ns, "10.99.0.2:80", "remote "+a.ip.String())
			asks("from its neighbour on the wire", remote, a.ip.String()+":80", "a 10.99.0.2")
			asks("beyond the gateway", a.ns, "10.97.0.2:80", "far "+a.ip.String())
			between := "b " + a.ip.String()
			if c.mode == "private" {
				between = ""
			}
			asks("to another container", a.ns, b.ip.String()+":80", between)
			if got, err := m.Publish(t.Context(), a.id, way(n.ID, a.ip), ports(t, "8080:80")); err != nil || len(got) != 0 {
				t.Errorf("published: %v, %v; there is nothing to publish", got, err)
			}
			if err := m.Pull(t.Context(), a.File, a.eps[0]); err != nil {
				t.Fatal(err)
			}
			if links := a.sh(t, "ip", "-o", "link"); strings.Contains(links, "eth0") {
				t.Errorf("after disconnecting: %s", links)
			}
			if err := m.Remove(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Without a parent, or with --internal, the containers have only each other.
func TestDirectNetworkWithoutParent(t *testing.T) {
	needKind(t, "macvlan")
	leavesNothing(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	m := newManager(t)
	inner := newNetwork(t, m, direct("macvlan", "wan0", ""), func(n *model.Network) { n.Internal = true })
	i, j := newBox(t, m, "i", inner), newBox(t, m, "j", inner)
	if !reaches(i.ns, j.ip.String()+":80", true) || reaches(i.ns, "10.99.0.2:80", false) {
		t.Error("an internal network reaches the parent's, or not itself")
	}
	n, other := newNetwork(t, m, direct("macvlan", "", "")), newNetwork(t, m, direct("macvlan", "", ""))
	a, b, c := newBox(t, m, "a", n), newBox(t, m, "b", n), newBox(t, m, "c", other)
	if got, err := a.answers("tcp", b.ip.String()+":80"); err != nil || got != "b "+a.ip.String() {
		t.Errorf("to its neighbour: %q, %v", got, err)
	}
	if got, err := a.ask("tcp", c.ip.String()+":80"); err == nil {
		t.Errorf("to another network: %q", got)
	}
	if routes := a.sh(t, "ip", "route"); strings.Contains(routes, "default") {
		t.Errorf("a way out: %s", routes)
	}
	// A later daemon finds it and takes it away with the network.
	if err := m.Reconcile(t.Context(), []*model.Network{n, other}, []network.Running{{ContainerID: a.id, Endpoints: a.eps}}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Reserve(t.Context(), n.ID, ids.New(), network.Wanted{IP: a.ip}); !errs.Is(err, errs.Conflict) {
		t.Errorf("the address of one that runs, again: %v", err)
	}
}

func TestDirectNetworksThatCannotBe(t *testing.T) {
	needKind(t, "macvlan")
	leavesNothing(t)
	lan(t)
	m := newManager(t)
	newNetwork(t, m, direct("macvlan", "wan0", "passthru"), func(n *model.Network) { n.IPAM.Config[0] = model.Pool{Subnet: "10.95.0.0/24"} })
	for what, c := range map[string]struct {
		change func(*model.Network)
		kind   errs.Kind
		word   string
	}{
		"no such parent":         {direct("macvlan", "nope0", ""), errs.NotFound, "nope0"},
		"a VLAN nobody has made": {direct("macvlan", "wan0.5", ""), errs.NotFound, "ip link add link wan0 name wan0.5 type vlan id 5"},
		"the loopback":           {direct("macvlan", "lo", ""), errs.Invalid, "lo"},
		"a parent passed through": {func(n *model.Network) {
			direct("macvlan", "wan0", "")(n)
			n.IPAM.Config[0] = model.Pool{Subnet: "10.96.0.0/24"}
		}, errs.Conflict, "wan0"},
		"both kinds on one parent": {func(n *model.Network) {
			direct("ipvlan", "wan0", "")(n)
			n.IPAM.Config[0] = model.Pool{Subnet: "10.96.0.0/24"}
		}, errs.Conflict, "wan0"},
		"an unknown mode":        {direct("macvlan", "wan0", "odd"), errs.Invalid, "odd"},
		"an unknown ipvlan mode": {direct("ipvlan", "wan0", "l9"), errs.Invalid, "l9"},
	} {
		n := &model.Network{ID: ids.New(), Name: "n"}
		c.change(n)
		if err := m.Ensure(t.Context(), n); !errs.Is(err, c.kind) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v; want %v with %q", what, err, c.kind, c.word)
		}
	}
}

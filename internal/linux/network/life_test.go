package network_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/network"
	model "lus/internal/model/network"
)

// exchange sends until something answers. Answers that come late, to what was
// sent twice in an earlier exchange, do not count.
func exchange(c net.Conn) string {
	buf := make([]byte, 64)
	for err := error(nil); err == nil; {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err = c.Read(buf)
	}
	for end := time.Now().Add(long); time.Now().Before(end); {
		_, _ = c.Write([]byte("?"))
		_ = c.SetReadDeadline(time.Now().Add(patience / 5))
		if n, err := c.Read(buf); err == nil {
			return string(buf[:n])
		}
	}
	return ""
}

// TestReconcile: the daemon dies, one container of two dies meanwhile. What
// lives keeps its connections, what is dead leaves nothing.
func TestReconcile(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	k := newKeeper(t)
	cfg := network.Config{Instance: ids.New()[:6], LockDir: t.TempDir(), Holder: k}
	first, err := network.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n, gone := newNetwork(t, first), newNetwork(t, first)
	alive, dead := newBox(t, first, "alive", n), newBox(t, first, "dead", n)
	old := newBox(t, first, "old", gone)
	live := publish(t, first, alive, "8080:80", "8080:80/udp")
	publish(t, first, dead, "8081:80")
	publish(t, first, old, "8082:80")
	var c net.Conn
	if err := remote.do(func() (err error) { c, err = net.Dial("udp4", "10.99.0.1:8080"); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := exchange(c); !strings.HasPrefix(got, "alive ") {
		t.Fatalf("before: %q", got)
	}
	// Nothing is cleaned up when a daemon is killed; closing only spares the
	// test its descriptors.
	first.Close()
	if answer, err := remote.answers("tcp", "10.99.0.1:8080"); err != nil {
		t.Errorf("without a daemon: %q, %v", answer, err)
	}

	second := newManager(t, func(c *network.Config) { *c = cfg })
	records := []network.Running{{ContainerID: alive.id, Endpoints: alive.eps, Ports: live, Ways: way(n.ID, alive.ip)}}
	for range 2 { // and again: it is idempotent
		if err := second.Reconcile(t.Context(), []*model.Network{n}, records); err != nil {
			t.Fatal(err)
		}
	}
	if got := exchange(c); !strings.HasPrefix(got, "alive ") {
		t.Errorf("the living was disturbed: %q", got)
	}
	left := state(t)
	for what, unwanted := range map[string]string{
		"a cable of the dead": dead.eps[0].MAC.String(), "an element of the dead": dead.ip.String() + " .",
		"the network that was removed": gone.IPAM.Config[0].Gateway} {
		if strings.Contains(left, unwanted) {
			t.Errorf("%s is left:\n%s", what, left)
		}
	}
	if links := run(t, "ip", "-o", "link"); strings.Count(links, ": lv"+cfg.Instance) != 1 {
		t.Errorf("more or less than one cable:\n%s", left)
	}
	if held, _ := k.Held(t.Context()); len(held) != 1 {
		t.Errorf("held: %v", held)
	}
	if _, err := second.Reserve(t.Context(), n.ID, "other", network.Wanted{IP: alive.ip}); !errs.Is(err, errs.Conflict) {
		t.Errorf("the address of the living was given away: %v", err)
	}
	if _, err := second.Publish(t.Context(), "other", way(n.ID, alive.ip), ports(t, "8080:80")); !errs.Is(err, errs.Conflict) {
		t.Errorf("the port of the living was given away: %v", err)
	}
	if a, err := second.Reserve(t.Context(), n.ID, "other", network.Wanted{IP: dead.ip}); err != nil || a.IP.Addr() != dead.ip {
		t.Errorf("the address of the dead: %v, %v", a, err)
	}
	if err := second.Detach(t.Context(), n.ID, alive.id); err != nil {
		t.Fatal(err)
	}
	if err := second.Unpublish(t.Context(), alive.id); err != nil {
		t.Fatal(err)
	}
}

// TestAFlushedRuleSetComesBack: systemctl restart nftables empties everything.
func TestAFlushedRuleSetComesBack(t *testing.T) {
	needRoot(t)
	remote := lan(t)
	instance := ids.New()[:6]
	m := newManager(t, func(c *network.Config) { c.Instance = instance })
	n := newNetwork(t, m)
	a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
	publish(t, m, a, "8080:80")
	run(t, "nft", "delete", "table", "ip", "lus_"+instance)
	publish(t, m, b, "8081:80")
	for _, at := range []string{"10.99.0.1:8080", "10.99.0.1:8081"} {
		if answer, err := remote.answers("tcp", at); err != nil {
			t.Errorf("%s: %q, %v", at, answer, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	needRoot(t)
	m := newManager(t)
	n := newNetwork(t, m, func(n *model.Network) {
		n.IPAM.Config = []model.Pool{{Subnet: "10.77.0.0/29", Aux: map[string]string{"router": "10.77.0.2"}}}
	})
	reserve := func(id, want string) (network.Address, error) {
		ip, _ := netip.ParseAddr(want)
		return m.Reserve(t.Context(), n.ID, id, network.Wanted{IP: ip})
	}
	for _, c := range []struct {
		id, want, got string
		kind          errs.Kind
	}{
		{"a", "", "10.77.0.3", 0},
		{"a", "", "10.77.0.3", 0},
		{"b", "10.77.0.3", "", errs.Conflict},
		{"b", "10.77.0.1", "", errs.Conflict},
		{"b", "10.77.0.2", "", errs.Conflict},
		{"b", "10.77.0.7", "", errs.Invalid},
		{"b", "10.78.0.1", "", errs.Invalid},
		{"b", "10.77.0.4", "10.77.0.4", 0},
		{"c", "", "10.77.0.5", 0},
		{"d", "", "10.77.0.6", 0},
		{"e", "", "", errs.Unavailable},
	} {
		a, err := reserve(c.id, c.want)
		if c.got == "" && !errs.Is(err, c.kind) {
			t.Errorf("%s wants %q: %v, %v; want kind %v", c.id, c.want, a, err, c.kind)
		}
		if c.got != "" && (err != nil || a.IP.String() != c.got+"/29" || a.Gateway.String() != "10.77.0.1") {
			t.Errorf("%s wants %q: %v, %v; want %s", c.id, c.want, a, err, c.got)
		}
	}
	// Who comes next gets what was free longest, and waits for what is being freed.
	for _, id := range []string{"c", "a"} {
		if err := m.Release(t.Context(), n.ID, id); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := reserve("f", "10.77.0.5"); err != nil || a.IP.Addr().String() != "10.77.0.5" {
		t.Errorf("an address just released: %v, %v", a, err)
	}
	if a, err := reserve("g", ""); err != nil || a.IP.Addr().String() != "10.77.0.3" {
		t.Errorf("the last free address: %v, %v", a, err)
	}
}

// A container that ends and starts again at once, many times, with a fixed address.
func TestAFixedAddressAgainAndAgain(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	m := newManager(t)
	n := newNetwork(t, m)
	want := netip.MustParsePrefix(n.IPAM.Config[0].Subnet).Addr().Next().Next()
	id := ids.New()
	for i := range 10 {
		c := newNS(t)
		a, err := m.Reserve(t.Context(), n.ID, id, network.Wanted{IP: want})
		if err != nil {
			t.Fatal(err)
		}
		ep := network.Endpoint{NetworkID: n.ID, ContainerID: id, IfName: "eth0", Address: a, Default: true}
		if err := m.Attach(t.Context(), c.File, ep); err != nil {
			t.Fatal(err)
		}
		c.serve(t, fmt.Sprint("c", i), 80)
		if got, err := host().answers("tcp", want.String()+":80"); err != nil || !strings.HasPrefix(got, fmt.Sprint("c", i)) {
			t.Fatalf("start %d: %q, %v", i, got, err)
		}
		if err := m.Detach(t.Context(), n.ID, id); err != nil {
			t.Fatal(err)
		}
		if err := m.Release(t.Context(), n.ID, id); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSubnets(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	lan(t)
	run(t, "ip", "route", "add", "172.18.0.0/16", "dev", "wan0")
	m, other := newManager(t), newManager(t)
	seen := []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16"), netip.MustParsePrefix("172.18.0.0/16"), netip.MustParsePrefix("10.99.0.0/24")}
	for i := range 45 {
		from := m
		if i%2 == 1 {
			from = other
		}
		s := netip.MustParsePrefix(newNetwork(t, from).IPAM.Config[0].Subnet)
		for _, o := range seen {
			if o.Overlaps(s) {
				t.Fatalf("network %d has %s, which overlaps %s", i, s, o)
			}
		}
		seen = append(seen, s)
	}
	for subnet, kind := range map[string]errs.Kind{
		"10.99.0.0/16": errs.Conflict, seen[5].String(): errs.Conflict, "172.18.5.0/24": errs.Conflict,
		"nonsense": errs.Invalid, "fd00::/64": errs.Invalid, "10.1.0.0/31": errs.Invalid,
	} {
		n := &model.Network{ID: ids.New(), Name: "x", Driver: "bridge", IPAM: model.IPAM{Config: []model.Pool{{Subnet: subnet}}}}
		if err := m.Ensure(t.Context(), n); !errs.Is(err, kind) {
			t.Errorf("subnet %s: %v; want kind %v", subnet, err, kind)
		}
	}
	small := newManager(t, func(c *network.Config) { c.Pools = []netip.Prefix{netip.MustParsePrefix("10.60.0.0/21")} })
	for range 2 {
		newNetwork(t, small)
	}
	if err := small.Ensure(t.Context(), &model.Network{ID: ids.New(), Name: "third"}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("no subnet is left: %v", err)
	}
}

// An instance that was stopped finds its subnet free when it comes back, though
// another chose one meanwhile.
func TestASubnetIsThereAfterAStop(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	lock := t.TempDir()
	as := func(instance string) func(*network.Config) {
		return func(c *network.Config) { c.LockDir, c.Instance = lock, instance }
	}
	first := newManager(t, as("aaaaaa"))
	n := newNetwork(t, first)
	subnet := n.IPAM.Config[0].Subnet
	if err := first.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	newNetwork(t, newManager(t, as("bbbbbb")))
	if err := newManager(t, as("aaaaaa")).Ensure(t.Context(), n); err != nil {
		t.Errorf("its subnet %s was given away: %v", subnet, err)
	}
}

// A subnet that somebody took during a stop is chosen anew where Lus had chosen
// it and nobody is on it; what the user asked for is not replaced.
func TestASubnetTakenDuringAStop(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	lock := t.TempDir()
	as := func(instance string) func(*network.Config) {
		return func(c *network.Config) { c.LockDir, c.Instance = lock, instance }
	}
	first := newManager(t, as("aaaaaa"))
	chosen := newNetwork(t, first, func(n *model.Network) { n.SubnetChosen = true })
	builtIn := newNetwork(t, first, func(n *model.Network) { n.Name = model.Bridge })
	asked := newNetwork(t, first)
	used := newNetwork(t, first, func(n *model.Network) { n.SubnetChosen = true })
	all := []*model.Network{chosen, builtIn, asked, used}
	had := map[*model.Network]string{}
	if err := first.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := newManager(t, as("bbbbbb"))
	for _, n := range all {
		had[n] = n.IPAM.Config[0].Subnet
		newNetwork(t, other, func(o *model.Network) { o.IPAM.Config = []model.Pool{{Subnet: had[n]}} })
	}
	again := newManager(t, as("aaaaaa"))
	err := again.Reconcile(t.Context(), all, []network.Running{{ContainerID: "c", Endpoints: []network.Endpoint{{NetworkID: used.ID}}}})
	if err == nil {
		t.Fatal("no word of the subnets that stay taken")
	}
	for _, n := range []*model.Network{asked, used} {
		if now := n.IPAM.Config[0].Subnet; now != had[n] || !strings.Contains(err.Error(), had[n]+" is in use by ") {
			t.Errorf("%s had %s and has %s: %v", n.Name, had[n], now, err)
		}
	}
	for _, n := range []*model.Network{chosen, builtIn} {
		if now := n.IPAM.Config[0].Subnet; now == had[n] || strings.Contains(err.Error(), had[n]) {
			t.Errorf("%s still has %s: %v", n.Name, now, err)
		}
		newBox(t, again, "box of "+n.Name, n)
	}
}

// Two instances on one host: neither reaches into nor breaks the other.
func TestTwoInstances(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	lock := t.TempDir()
	m1 := newManager(t, func(c *network.Config) { c.LockDir = lock })
	m2 := newManager(t, func(c *network.Config) { c.LockDir = lock })
	n1, n2 := newNetwork(t, m1), newNetwork(t, m2)
	a, b := newBox(t, m1, "a", n1), newBox(t, m2, "b", n2)
	publish(t, m1, a, "8080:80")
	publish(t, m2, b, "8081:80")
	if _, err := m2.Publish(t.Context(), "x", way(n2.ID, b.ip), ports(t, "8080:80")); !errs.Is(err, errs.Conflict) {
		t.Errorf("a port of the other instance: %v", err)
	}
	for at, from := range map[string]ns{"127.0.0.1:8080": host(), "127.0.0.1:8081": host(), "10.99.0.1:8080": remote, "10.99.0.1:8081": remote} {
		if _, err := from.answers("tcp", at); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	if _, err := a.answers("tcp", "10.99.0.1:8081"); err != nil {
		t.Errorf("through the host to the other instance: %v", err)
	}
	if _, err := a.ask("tcp", b.ip.String()+":80"); err == nil {
		t.Error("an instance reaches the other's containers directly")
	}
	if err := m1.Teardown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.answers("tcp", "10.99.0.1:8081"); err != nil {
		t.Errorf("the end of one instance broke the other: %v", err)
	}
}

func TestAttachIsAllOrNothing(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	m := newManager(t)
	n, second := newNetwork(t, m), newNetwork(t, m)
	c, id := newNS(t), ids.New()
	a, err := m.Reserve(t.Context(), n.ID, id, network.Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	ep := network.Endpoint{NetworkID: n.ID, ContainerID: id, IfName: "eth0", Address: a}
	twin := ep
	twin.NetworkID = second.ID // the same name inside
	if err := m.Attach(t.Context(), c.File, ep, twin); !errs.Is(err, errs.Conflict) {
		t.Errorf("two interfaces of one name: %v", err)
	}
	if err := m.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if links := c.sh(t, "ip", "-o", "link"); strings.Contains(links, "eth0") {
		t.Errorf("left inside: %s", links)
	}
	if err := m.Attach(t.Context(), c.File, ep); err != nil {
		t.Errorf("after a failure: %v", err)
	}
	if err := m.Remove(t.Context(), n); !errs.Is(err, errs.Conflict) {
		t.Errorf("a network in use was removed: %v", err)
	}
	if err := m.Detach(t.Context(), n.ID, id); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(t.Context(), n); err != nil {
		t.Error(err)
	}
}

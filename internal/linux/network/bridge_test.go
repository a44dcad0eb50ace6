package network_test

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/network"
	model "lus/internal/model/network"
)

// named asks for an interface of that name.
func named(name string) func(*model.Network) {
	return func(n *model.Network) { n.Options = map[string]string{"com.docker.network.bridge.name": name} }
}

// A name that an interface of the host has is refused, now and when the daemon
// comes back; the interface stays as it is and other networks come up.
func TestABridgesNameIsTaken(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	run(t, "ip", "link", "add", "theirs0", "type", "bridge")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "theirs0").Run() })
	before := run(t, "ip", "-o", "link", "show", "theirs0")
	m := newManager(t)
	n := &model.Network{ID: ids.New(), Name: "mine", Driver: "bridge"}
	named("theirs0")(n)
	if err := m.Ensure(t.Context(), n); !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "theirs0") {
		t.Errorf("a name that is taken: %v", err)
	}
	other := newNetwork(t, m)
	if err := m.Reconcile(t.Context(), []*model.Network{n, other}, nil); !errs.Is(err, errs.Conflict) {
		t.Errorf("when the daemon comes back: %v", err)
	}
	newBox(t, m, "c", other)
	if after := run(t, "ip", "-o", "link", "show", "theirs0"); after != before {
		t.Errorf("the interface changed to\n%s\nfrom\n%s", after, before)
	}
}

// A daemon can be killed while it makes a bridge. What has a network's name is
// known for the network's from the first moment on, and what is not finished is
// cleared away by the next network or the next daemon.
func TestABridgeThatWasHalfMade(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	instance := ids.New()[:6]
	m := newManager(t, func(c *network.Config) { c.Instance = instance })
	news, err := os.Create(filepath.Join(t.TempDir(), "news"))
	if err != nil {
		t.Fatal(err)
	}
	defer news.Close()
	monitor := exec.Command("ip", "-d", "-o", "monitor", "link")
	monitor.Stdout = news
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = monitor.Process.Kill(); _ = monitor.Wait() }()
	told := func(word string) (lines []string) {
		text, err := os.ReadFile(news.Name())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, word) {
				lines = append(lines, line)
			}
		}
		return lines
	}
	until(t, "a monitor", func() bool {
		run(t, "ip", "link", "add", "probe0", "type", "bridge")
		run(t, "ip", "link", "del", "probe0")
		return len(told("probe0")) > 0
	})
	newNetwork(t, m, named("chosen0"))
	run(t, "ip", "link", "add", "last0", "type", "bridge")
	run(t, "ip", "link", "del", "last0")
	until(t, "the last news", func() bool { return len(told("last0")) > 0 })
	for _, line := range told(": chosen0: ") {
		if !strings.Contains(line, "alias lus:"+instance+":net:") {
			t.Errorf("for a moment nothing tells whose it is: %s", line)
		}
	}

	half := "lus" + instance + "new"
	left := func() bool { return exec.Command("ip", "link", "show", half).Run() == nil }
	run(t, "ip", "link", "add", half, "type", "bridge")
	n := newNetwork(t, m)
	if left() {
		t.Error("the next network leaves what was half made")
	}
	run(t, "ip", "link", "add", half, "type", "bridge")
	if err := m.Reconcile(t.Context(), []*model.Network{n}, nil); err != nil {
		t.Fatal(err)
	}
	if left() {
		t.Error("the next daemon leaves what was half made")
	}
}

// Networks of packets too small for IPv6 are had like others.
func TestSmallPackets(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	m := newManager(t)
	n := newNetwork(t, m, func(n *model.Network) { n.Options = map[string]string{"com.docker.network.driver.mtu": "1000"} })
	a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
	if _, err := a.answers("tcp", b.ip.String()+":80"); err != nil {
		t.Error(err)
	}
}

// What a host has become in the meantime cuts nobody off when the daemon comes
// back: a route that overlaps a network's subnet, IPv6 that was switched off. Who
// runs there keeps bridge, ports and rules.
func TestANetworkInUseStaysThoughItCouldNotBeMadeNow(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	cfg := network.Config{Instance: ids.New()[:6], LockDir: t.TempDir()}
	first, err := network.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n, both := newNetwork(t, first), newNetwork(t, first, six)
	a, b := newBox(t, first, "a", n), newBox(t, first, "b", both)
	running := []network.Running{
		{ContainerID: a.id, Endpoints: a.eps, Ports: publish(t, first, a, "8080:80"), Ways: way(n.ID, a.ip)},
		{ContainerID: b.id, Endpoints: b.eps, Ports: publish(t, first, b, "8081:80"), Ways: way(both.ID, b.ip)},
	}
	first.Close()
	subnet := netip.MustParsePrefix(n.IPAM.Config[0].Subnet)
	last := subnet.Addr().As4()
	last[2] += 3
	run(t, "ip", "route", "add", netip.AddrFrom4(last).String()+"/24", "dev", "wan0")
	run(t, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
	t.Cleanup(func() { run(t, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0") })

	second := newManager(t, func(c *network.Config) { *c = cfg })
	if err := second.Reconcile(t.Context(), []*model.Network{n, both}, running); !errs.Is(err, errs.Unsupported) {
		t.Errorf("no word of the network that needs IPv6: %v", err)
	}
	for at, want := range map[string]string{"10.99.0.1:8080": "a", "10.99.0.1:8081": "b"} {
		if got, err := remote.answers("tcp", at); err != nil || got != want+" 10.99.0.2" {
			t.Errorf("%s: %q, %v", at, got, err)
		}
	}
	newBox(t, second, "c", n)
	for _, box := range []*box{a, b} {
		if err := second.Detach(t.Context(), box.eps[0].NetworkID, box.id); err != nil {
			t.Error(err)
		}
	}
	if err := second.Remove(t.Context(), both); err != nil {
		t.Error(err)
	}
}

package network_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/linux/network"
)

// Where the kernel cannot forward by one interface alone the host becomes a
// router, which does not forward between its other networks, and goes on
// hearing routers. It is none again when the last network has gone.
func TestIPv6RouterByAll(t *testing.T) {
	needRoot(t)
	forwardsByAll(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	second := unaddressed(t, remote, "lan0", "fd98::")
	m := newManager(t)
	a := newBox(t, m, "a", newNetwork(t, m, six))
	if got, err := a.answers("tcp", "[fd99::2]:80"); err != nil || got != "remote fd99::1" {
		t.Errorf("the outside: %q, %v", got, err)
	}
	if got, err := second.ask("tcp", "[fd99::2]:80"); err == nil {
		t.Errorf("the host routes for whom it shares no network with: %q", got)
	}
	late := unaddressed(t, remote, "late0", "fd97::")
	until(t, "no way for one that came later", func() bool { _, err := late.ask("tcp", "[fd99::2]:80"); return err != nil })
	if all, ra := setting6(t, "all/forwarding"), setting6(t, "wan0/accept_ra"); all != "1" || ra != "2" {
		t.Errorf("forwarding is %s, accept_ra %s", all, ra)
	}
	if err := m.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := setting6(t, "all/forwarding"); all != "0" {
		t.Errorf("forwarding stays %s", all)
	}
}

// Of two instances either keeps the host from forwarding between its other
// networks, also when the other has gone, and the last one ends it.
func TestIPv6RouterByAllOfTwoInstances(t *testing.T) {
	needRoot(t)
	forwardsByAll(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	second := unaddressed(t, remote, "lan0", "fd98::")
	lock := t.TempDir()
	m1 := newManager(t, func(c *network.Config) { c.LockDir = lock })
	m2 := newManager(t, func(c *network.Config) { c.LockDir = lock })
	newNetwork(t, m1, six)
	b := newBox(t, m2, "b", newNetwork(t, m2, six))
	if err := m1.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := b.answers("tcp", "[fd99::2]:80"); err != nil || got != "remote fd99::1" {
		t.Errorf("the outside: %q, %v", got, err)
	}
	if got, err := second.ask("tcp", "[fd99::2]:80"); err == nil {
		t.Errorf("the host routes between its networks: %q", got)
	}
	if err := m2.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := setting6(t, "all/forwarding"); all != "0" {
		t.Errorf("forwarding stays %s", all)
	}
}

// forwardsByAll makes the kernel one that forwards IPv6 by all interfaces or by none.
func forwardsByAll(t *testing.T) {
	t.Helper()
	const switches = "/proc/sys/net/ipv6/conf/all/force_forwarding"
	if _, err := os.Stat(switches); err == nil {
		run(t, "mount", "--bind", "/dev/null", switches)
		t.Cleanup(func() { _ = exec.Command("umount", switches).Run() })
	}
}

func setting6(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv6/conf", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// unaddressed joins the host with a second one by an interface on which the host
// has no address but that of the link, as on every interface that is up. The
// second one, which is ::2 of its network, and the remote host would reach each
// other through the host.
func unaddressed(t *testing.T, remote ns, name, network string) ns {
	t.Helper()
	second := newNS(t)
	run(t, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), second.Fd()))
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", name).Run() })
	run(t, "ip", "link", "set", name, "up")
	run(t, "ip", "addr", "add", "fe80::99/64", "dev", name, "nodad")
	run(t, "ip", "-6", "route", "add", network+"/64", "dev", name)
	second.sh(t, "ip", "link", "set", "eth0", "up")
	second.sh(t, "ip", "addr", "add", network+"2/64", "dev", "eth0", "nodad")
	second.sh(t, "ip", "-6", "route", "add", "default", "via", "fe80::99", "dev", "eth0")
	remote.sh(t, "ip", "-6", "route", "add", network+"/64", "via", "fd99::1")
	return second
}

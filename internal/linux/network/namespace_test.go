package network_test

import (
	"context"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/linux/network"
)

// A namespace that the manager makes has its loopback up, is not the manager's
// own, and takes the cables in it along when its file is closed.
func TestANamespaceEndsWithItsFile(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	m := newManager(t)
	n := newNetwork(t, m)
	own := inode(t, "/proc/thread-self/ns/net")
	f, err := m.Namespace()
	if err != nil {
		t.Fatal(err)
	}
	if inode(t, "/proc/thread-self/ns/net") != own || inode(t, "/proc/self/ns/net") != own {
		t.Error("a thread stayed in the new namespace")
	}
	if out := (ns{f}).sh(t, "ip", "-o", "link", "show", "up"); !strings.Contains(out, " lo: ") || strings.Count(out, "\n") != 1 {
		t.Errorf("in the namespace is up:\n%s", out)
	}
	addr, err := m.Reserve(context.Background(), n.ID, "early", network.Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Attach(context.Background(), f, network.Endpoint{NetworkID: n.ID, ContainerID: "early", Address: addr, IfName: "eth0", Default: true}); err != nil {
		t.Fatal(err)
	}
	if out := (ns{f}).sh(t, "ip", "-o", "address", "show", "eth0"); !strings.Contains(out, addr.IP.String()) {
		t.Errorf("the cable within:\n%s", out)
	}
	cable := func() bool { return strings.Contains(run(t, "ip", "-d", "link"), "lus:"+n.ID+":early") }
	if !cable() {
		t.Fatal("the test does not see the cable")
	}
	_ = f.Close()
	until(t, "the cable is gone with its namespace", func() bool { return !cable() })
	for _, err := range []error{m.Detach(context.Background(), n.ID, "early"), m.Release(context.Background(), n.ID, "early")} {
		if err != nil {
			t.Error(err)
		}
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

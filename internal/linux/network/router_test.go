package network_test

import (
	"strings"
	"testing"
)

// TestAHostThatIsARouterForAWhile: when an administrator takes that back, which
// switches off every interface of the host, containers still reach the outside
// and are reached, and no router is left.
func TestAHostThatIsARouterForAWhile(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	m := newManager(t)
	n := newNetwork(t, m)
	box := newBox(t, m, "c", n)
	publish(t, m, box, "8080:80")
	for _, value := range []string{"1", "0"} {
		run(t, "sysctl", "-qw", "net.ipv4.conf.all.forwarding="+value)
		if got, err := box.answers("tcp", "10.99.0.2:80"); err != nil || got != "remote 10.99.0.1" {
			t.Errorf("forwarding %s: a container to the outside: %q, %v", value, got, err)
		}
		if got, err := remote.answers("tcp", "10.99.0.1:8080"); err != nil || got != "c 10.99.0.2" {
			t.Errorf("forwarding %s: a published port: %q, %v", value, got, err)
		}
	}
	if all := strings.TrimSpace(run(t, "sysctl", "-n", "net.ipv4.conf.all.forwarding")); all != "0" {
		t.Errorf("the host is a router: %s", all)
	}
}

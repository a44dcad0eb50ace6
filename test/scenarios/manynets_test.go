package scenarios

import (
	"fmt"
	"strings"
	"testing"

	"lus/test/stack"
)

// TestThreeHundredNetworks: addresses do not run out at thirty-one networks, as
// where each takes a sixteenth of a private range, and no two overlap.
func TestThreeHundredNetworks(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	s.UpApart(t) // with so many, nobody else's subnet would be free
	s.ImportBusybox(t)
	const n = 300
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("net", i))
		s.OK(t, "network", "create", names[i])
	}
	subnets := map[string]string{}
	for i, subnet := range strings.Fields(s.OK(t, append([]string{"network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}"}, names...)...)) {
		if other, taken := subnets[subnet]; taken {
			t.Errorf("%s and %s are both %s", names[i], other, subnet)
		}
		subnets[subnet] = names[i]
	}
	if len(subnets) != n {
		t.Errorf("%d subnets of %d networks", len(subnets), n)
	}
	stack.Says(t, s.OK(t, "run", "--rm", "--network", names[n-1], stack.Busybox, "ip", "addr"), "inet ")
	s.OK(t, append([]string{"network", "rm"}, names...)...)
}

// TestASubnetTakenWhileStopped: an instance whose subnet somebody else took
// while it was stopped has another when it comes back, and keeps that.
func TestASubnetTakenWhileStopped(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	up := func() {
		if err := s.Up(); err != nil {
			t.Fatal(err)
		}
	}
	subnet := func() string {
		return strings.TrimSpace(s.OK(t, "network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "bridge"))
	}
	up()
	s.ImportBusybox(t)
	had := subnet()
	s.Stop()
	other := stack.Start(t)
	other.OK(t, "network", "create", "--subnet", had, "taken")
	up()
	now := subnet()
	if now == had {
		t.Fatalf("%s is on two networks", now)
	}
	stack.Says(t, s.OK(t, "run", "--rm", stack.Busybox, "ip", "addr"), "inet "+now[:strings.LastIndex(now, ".")])
	other.OK(t, "network", "rm", "taken")
	s.Stop()
	up()
	if again := subnet(); again != now {
		t.Errorf("the network had %s, then %s, and now %s", had, now, again)
	}
	s.OK(t, "run", "--rm", stack.Busybox, "true")
}

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
	s := stack.Start(t)
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

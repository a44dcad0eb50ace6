package network_test

import (
	"testing"
)

// TestLoopbackStaysHome is CVE-2020-8558: packets for 127.0.0.1 that come in by
// wire, from a container or from another host on the same link, reach neither a
// service on the host's loopback nor a port published there.
func TestLoopbackStaysHome(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	m := newManager(t)
	n, other := newNetwork(t, m), newNetwork(t, m)
	web, inside := newBox(t, m, "web", n), newBox(t, m, "inside", n)
	elsewhere := newBox(t, m, "elsewhere", other)
	publish(t, m, web, "127.0.0.1:8081:80", "127.0.0.1:8081:80/udp")
	host().serve(t, "host", 7000)
	for _, at := range []string{"127.0.0.1:7000", "127.0.0.1:8081"} {
		if _, err := host().answers("tcp", at); err != nil {
			t.Fatalf("the host itself does not reach %s: %v", at, err)
		}
	}
	for _, attacker := range []struct {
		who     string
		from    ns
		dev     string
		gateway string
	}{
		{"another host", remote, "wan1", "10.99.0.1"},
		{"a container of the network", inside.ns, "eth0", gatewayOf(inside)},
		{"a container of another network", elsewhere.ns, "eth0", gatewayOf(elsewhere)},
	} {
		t.Run(attacker.who, func(t *testing.T) {
			t.Parallel()
			// 127.0.0.1 is what lies behind the gateway, and answers from
			// there are welcome.
			attacker.from.sh(t, "ip", "addr", "del", "127.0.0.1/8", "dev", "lo")
			attacker.from.sh(t, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1", "net.ipv4.conf."+attacker.dev+".rp_filter=0", "net.ipv4.conf.all.rp_filter=0")
			attacker.from.sh(t, "ip", "route", "add", "127.0.0.1/32", "via", attacker.gateway, "dev", attacker.dev)
			for _, at := range []string{"127.0.0.1:7000", "127.0.0.1:8081"} {
				for _, proto := range []string{"tcp", "udp"} {
					t.Run(proto+" "+at, func(t *testing.T) {
						t.Parallel()
						if got, err := attacker.from.ask(proto, at); err == nil {
							t.Errorf("answered %q", got)
						}
					})
				}
			}
		})
	}
}

func gatewayOf(b *box) string { return b.eps[0].Address.Gateway.String() }

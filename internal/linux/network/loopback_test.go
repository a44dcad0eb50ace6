package network_test

import (
	"net/netip"
	"testing"

	model "lus/internal/model/network"
)

// CVE-2020-8558: packets for 127.0.0.1 that come in by wire, from a container or
// from another host on the same link, reach neither a service on the host's
// loopback nor a port published there.
func TestCVE2020_8558LoopbackStaysHome(t *testing.T) {
	loopbackStaysHome(t, "127.0.0.1", "10.99.0.1", func(b *box) netip.Addr { return b.eps[0].Gateway })
}

// The same of ::1, for which each bridge has a local route.
func TestIPv6LoopbackStaysHome(t *testing.T) {
	bridgedRules6(t, "0")
	loopbackStaysHome(t, "::1", "fd99::1", func(b *box) netip.Addr { return b.eps[0].Gateway6 }, six)
}

func loopbackStaysHome(t *testing.T, loopback, hostIP string, gateway func(*box) netip.Addr, change ...func(*model.Network)) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	m := newManager(t)
	n, other := newNetwork(t, m, change...), newNetwork(t, m, change...)
	web, inside := newBox(t, m, "web", n), newBox(t, m, "inside", n)
	elsewhere := newBox(t, m, "elsewhere", other)
	ip := netip.MustParseAddr(loopback)
	service, published := netip.AddrPortFrom(ip, 7000).String(), netip.AddrPortFrom(ip, 8081).String()
	if n.EnableIPv6 {
		publish6(t, m, web, published+":80", published+":80/udp")
	} else {
		publish(t, m, web, published+":80", published+":80/udp")
	}
	host().serve(t, "host", 7000)
	for _, at := range []string{service, published} {
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
		{"another host", remote, "wan1", hostIP},
		{"a container of the network", inside.ns, "eth0", gateway(inside).String()},
		{"a container of another network", elsewhere.ns, "eth0", gateway(elsewhere).String()},
	} {
		t.Run(attacker.who, func(t *testing.T) {
			t.Parallel()
			// The loopback address is what lies behind the gateway, and answers from
			// there are welcome.
			bits := netip.PrefixFrom(ip, ip.BitLen()).String()
			attacker.from.sh(t, "ip", "addr", "flush", "dev", "lo")
			attacker.from.sh(t, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1", "net.ipv4.conf."+attacker.dev+".rp_filter=0", "net.ipv4.conf.all.rp_filter=0")
			attacker.from.sh(t, "ip", "route", "add", bits, "via", attacker.gateway, "dev", attacker.dev)
			for _, at := range []string{service, published} {
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

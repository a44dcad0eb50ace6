package network

import (
	"net/netip"

	"lus/internal/linux/dns/resolv"
)

// Resolv is what a resolv.conf says.
type Resolv = resolv.Conf

// upstreamResolv is where systemd-resolved lists the servers behind its stub
// at 127.0.0.53, which a container cannot reach.
const upstreamResolv = "/run/systemd/resolve/resolv.conf"

// HostResolv is what the host itself uses, loopback servers included: right
// for who asks from the host's namespace, as lus-dns does.
func HostResolv() Resolv { return resolv.Read(resolv.Host) }

// HostResolvConf is what a container can use: the host's servers without those
// on its loopback, else those behind the host's stub, else public ones.
func HostResolvConf() (nameservers []netip.Addr, search, options []string) {
	return containerResolv(HostResolv(), resolv.Read(upstreamResolv))
}

func containerResolv(host, behind Resolv) (nameservers []netip.Addr, search, options []string) {
	nameservers = reachable(host.Nameservers)
	if len(nameservers) == 0 {
		nameservers = reachable(behind.Nameservers)
	}
	if len(nameservers) == 0 {
		nameservers = []netip.Addr{netip.AddrFrom4([4]byte{8, 8, 8, 8}), netip.AddrFrom4([4]byte{1, 1, 1, 1})}
	}
	return nameservers, host.Search, host.Options
}

// reachable drops what a container cannot reach: the host's loopback, and
// everything that is not IPv4.
func reachable(in []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, ip := range in {
		if ip.Is4() && !ip.IsLoopback() && !ip.IsUnspecified() {
			out = append(out, ip)
		}
	}
	return out
}

// resolvers are the servers whose addresses a subnet must keep clear of.
func resolvers() []netip.Addr {
	return append(HostResolv().Nameservers, resolv.Read(upstreamResolv).Nameservers...)
}

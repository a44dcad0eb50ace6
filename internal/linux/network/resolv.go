package network

import (
	"bufio"
	"net/netip"
	"os"
	"strings"
)

// Resolv is what a resolv.conf says.
type Resolv struct {
	Nameservers []netip.Addr
	Search      []string
	Options     []string
}

const (
	hostResolv = "/etc/resolv.conf"
	// upstreamResolv is where systemd-resolved lists the servers behind its
	// stub at 127.0.0.53, which a container cannot reach.
	upstreamResolv = "/run/systemd/resolve/resolv.conf"
)

// HostResolv is what the host itself uses, loopback servers included: right
// for who asks from the host's namespace, as lus-dns does.
func HostResolv() Resolv { return readResolv(hostResolv) }

// HostResolvConf is what a container can use: the host's servers without those
// on its loopback, else those behind the host's stub, else public ones.
func HostResolvConf() (nameservers []netip.Addr, search, options []string) {
	r := readResolv(hostResolv)
	return containerResolv(r, func() Resolv { return readResolv(upstreamResolv) })
}

func containerResolv(r Resolv, behind func() Resolv) (nameservers []netip.Addr, search, options []string) {
	nameservers = reachable(r.Nameservers)
	if len(nameservers) == 0 {
		nameservers = reachable(behind().Nameservers)
	}
	if len(nameservers) == 0 {
		nameservers = []netip.Addr{netip.AddrFrom4([4]byte{8, 8, 8, 8}), netip.AddrFrom4([4]byte{1, 1, 1, 1})}
	}
	return nameservers, r.Search, r.Options
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
	return append(readResolv(hostResolv).Nameservers, readResolv(upstreamResolv).Nameservers...)
}

func readResolv(path string) Resolv {
	f, err := os.Open(path)
	if err != nil {
		return Resolv{}
	}
	defer f.Close()
	var r Resolv
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if ip, err := netip.ParseAddr(fields[1]); err == nil {
				r.Nameservers = append(r.Nameservers, ip.Unmap())
			}
		case "domain", "search":
			r.Search = fields[1:]
		case "options":
			r.Options = append(r.Options, fields[1:]...)
		}
	}
	return r
}

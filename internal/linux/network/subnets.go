package network

import (
	"hash/fnv"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// inUse is an address range of the host and who has it.
type inUse struct {
	net netip.Prefix
	by  string
}

// usedSubnets lists what a subnet of one version of IP must keep clear of: the
// host's addresses and routes, our other networks, the resolvers' addresses.
// The bridge of the network itself is left out; there tells that it has one.
func (m *Manager) usedSubnets(networkID string, family uint8) (out []inUse, there bool, err error) {
	links, err := m.rt.Links()
	if err != nil {
		return nil, false, err
	}
	names, self := map[int32]string{}, int32(-1)
	for _, l := range links {
		names[l.Index] = l.Name
		if l.Alias == m.bridgeAlias(networkID) {
			self = l.Index
		}
	}
	addresses, err := m.rt.Addresses(family)
	if err != nil {
		return nil, false, err
	}
	for _, a := range addresses {
		if a.Index != self {
			out = append(out, inUse{a.Prefix.Masked(), "interface " + names[a.Index]})
		}
	}
	routes, err := m.rt.Routes(family)
	if err != nil {
		return nil, false, err
	}
	for _, r := range routes {
		// Halves of everything are a VPN's default route, not a network.
		if r.OIF != self && r.Dst.Bits() > 1 {
			out = append(out, inUse{r.Dst.Masked(), "a route by " + names[r.OIF]})
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, b := range m.bridges {
		p := b.pool
		if family == unix.AF_INET6 {
			p = b.pool6
		}
		if id != networkID && p != nil {
			out = append(out, inUse{p.subnet, "network " + id[:12]})
		}
	}
	return out, self >= 0, nil
}

// dockerBridge is where Docker's default bridge is or will be.
const dockerBridge = "172.17.0.0/16"

// begins is how many places there are to begin at. They lie in the range that
// Docker takes its subnets from too, which is seldom anybody's own network.
const begins = 512

// choose returns a free subnet of the pools. Each instance begins at a place of
// its own, so that one that was stopped finds its subnets free when it is back,
// though others chose meanwhile.
func (m *Manager) choose(used []inUse) (netip.Prefix, error) {
	used = append(used, inUse{netip.MustParsePrefix(dockerBridge), "Docker"})
	for _, ns := range resolvers() {
		if ns.Is4() {
			used = append(used, inUse{netip.PrefixFrom(ns, 32), "a name server"})
		}
	}
	all := subnets(m.cfg.Pools)
	place := fnv.New32a()
	_, _ = place.Write([]byte(m.cfg.Instance))
	begin := int(place.Sum32() % uint32(max(1, min(len(all), begins))))
	for i := range all {
		s := all[(begin+i)%len(all)]
		if overlapping(used, s) == nil {
			return s, nil
		}
	}
	return netip.Prefix{}, errs.New(errs.Unavailable, "all predefined address pools have been fully subnetted: no free subnet in %s; remove unused networks or name one with --subnet", join(m.cfg.Pools))
}

// subnets cuts the pools.
func subnets(pools []netip.Prefix) (all []netip.Prefix) {
	for _, p := range pools {
		bits := max(subnetBits, p.Bits())
		for s := netip.PrefixFrom(p.Masked().Addr(), bits); s.IsValid() && p.Contains(s.Addr()); s = netip.PrefixFrom(lastOf(s).Next(), bits) {
			all = append(all, s)
		}
	}
	return all
}

func overlapping(used []inUse, s netip.Prefix) *inUse {
	for i := range used {
		if used[i].net.Overlaps(s) {
			return &used[i]
		}
	}
	return nil
}

func join(pools []netip.Prefix) string {
	words := make([]string, len(pools))
	for i, p := range pools {
		words[i] = p.String()
	}
	return strings.Join(words, ", ")
}

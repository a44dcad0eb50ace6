package network

import (
	"crypto/sha256"
	"hash/fnv"
	"net/netip"
	"os"
	"strings"

	"lus/internal/base/errs"
)

// subnetBits6 is the size of an IPv6 subnet chosen by us, the usual one, and
// pool6Bits that of the pool it is cut from.
const (
	subnetBits6 = 64
	pool6Bits   = 48
)

// DefaultPool6 is a range of unique local addresses (RFC 4193) that no other
// host is likely to have, and this one has as long as it keeps its machine id.
func DefaultPool6(instance string) netip.Prefix {
	var host string
	for _, path := range []string{"/etc/machine-id", "/proc/sys/kernel/random/boot_id"} {
		if b, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(b))) > 0 {
			host = strings.TrimSpace(string(b))
			break
		}
	}
	sum := sha256.Sum256([]byte("lus addresses of " + instance + " on " + host))
	ip := [16]byte{0xfd}
	copy(ip[1:], sum[:pool6Bits/8-1])
	return netip.PrefixFrom(netip.AddrFrom16(ip), pool6Bits)
}

// choose6 returns a free subnet of the pool for IPv6. Like choose it begins at a
// place of the instance's own.
func (m *Manager) choose6(used []inUse) (netip.Prefix, error) {
	p := m.cfg.Pool6.Masked()
	bits := max(subnetBits6, p.Bits())
	count := uint32(1) << min(16, bits-p.Bits())
	place := fnv.New32a()
	_, _ = place.Write([]byte(m.cfg.Instance))
	for i := range count {
		s := netip.PrefixFrom(nth(p, bits, (place.Sum32()+i)%count), bits)
		if overlapping(used, s) == nil {
			return s, nil
		}
	}
	return netip.Prefix{}, errs.New(errs.Unavailable, "no free IPv6 subnet in %s: remove unused networks or name one with --subnet", p)
}

// nth is the first address of the nth subnet of that size.
func nth(p netip.Prefix, bits int, n uint32) netip.Addr {
	b := p.Addr().As16()
	for at := bits - 1; n != 0; at, n = at-1, n>>1 {
		b[at/8] |= byte(n&1) << (7 - at%8)
	}
	return netip.AddrFrom16(b)
}

// checkSubnet6 refuses what cannot be a network of containers.
func checkSubnet6(name string, s netip.Prefix) error {
	switch a := s.Addr(); {
	case s.Bits() < 8 || s.Bits() > 126:
		return errs.New(errs.Invalid, "network %s: subnet %s must be from /8 to /126", name, s)
	case a.Is4In6() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsLoopback() || s.Contains(netip.IPv6Loopback()):
		return errs.New(errs.Invalid, "network %s: %s has no addresses for containers: write a network such as fd00:5::/64", name, s)
	}
	return nil
}

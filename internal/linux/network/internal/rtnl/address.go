package rtnl

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// familyOf is the kernel's number for an address's version of IP.
func familyOf(ip netip.Addr) uint8 {
	if ip.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// AddAddress gives the link an address, one of IPv4 with its broadcast address,
// one of IPv6 for use at once: looking for duplicates takes the kernel a second.
func AddAddress(index int32, p netip.Prefix) *Message {
	ip := p.Addr()
	b := make([]byte, unix.SizeofIfAddrmsg)
	b[0], b[1] = familyOf(ip), uint8(p.Bits())
	if ip.Is6() {
		b[2] = unix.IFA_F_NODAD
	}
	if ip.IsLinkLocalUnicast() && ip.Is6() {
		b[3] = unix.RT_SCOPE_LINK
	}
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	raw := ip.AsSlice()
	m := NewMessage(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, b).
		Bytes(unix.IFA_LOCAL, raw).Bytes(unix.IFA_ADDRESS, raw)
	if ip.Is4() && p.Bits() < 31 {
		host := uint32(1)<<(32-p.Bits()) - 1
		last := binary.BigEndian.Uint32(raw) | host
		m.Bytes(unix.IFA_BROADCAST, binary.BigEndian.AppendUint32(nil, last))
	}
	return m
}

// Address is an address of an interface.
type Address struct {
	Index  int32
	Prefix netip.Prefix
}

// Addresses lists the addresses of all interfaces of one version of IP, AF_INET
// or AF_INET6.
func (c *Conn) Addresses(family uint8) ([]Address, error) {
	b := make([]byte, unix.SizeofIfAddrmsg)
	b[0] = family
	ask := NewMessage(unix.RTM_GETADDR, 0, b)
	return whole(same[Address], func(add func(Address)) (bool, error) {
		return c.Dump(ask, func(kind uint16, body []byte) {
			if a, ok := parseAddress(family, body); ok && kind == unix.RTM_NEWADDR {
				add(a)
			}
		})
	}, nil)
}

func parseAddress(family uint8, body []byte) (a Address, ok bool) {
	if len(body) < unix.SizeofIfAddrmsg || body[0] != family {
		return a, false
	}
	// Of IPv6 the kernel tells the local address by another attribute.
	local := uint16(unix.IFA_LOCAL)
	if family == unix.AF_INET6 {
		local = unix.IFA_ADDRESS
	}
	a.Index = AddressLink(body)
	bits := int(body[1])
	Attrs(body[unix.SizeofIfAddrmsg:], func(kind uint16, data []byte) {
		if ip, ok := netip.AddrFromSlice(data); ok && kind == local {
			a.Prefix = netip.PrefixFrom(ip, bits)
		}
	})
	return a, a.Prefix.IsValid()
}

// AddressLink is the number of the link that the news of an address is about.
func AddressLink(body []byte) int32 {
	if len(body) < unix.SizeofIfAddrmsg {
		return 0
	}
	return int32(binary.NativeEndian.Uint32(body[4:]))
}

// OfLink reports whether the news of an address is about one that is good for
// its link only.
func OfLink(body []byte) bool {
	return len(body) >= unix.SizeofIfAddrmsg && body[3] == unix.RT_SCOPE_LINK
}

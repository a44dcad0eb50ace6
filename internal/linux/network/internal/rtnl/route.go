package rtnl

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

func newRoute(family, table, scope, kind uint8, bits int) *Message {
	b := make([]byte, unix.SizeofRtMsg)
	b[0], b[1] = family, uint8(bits)
	b[4], b[5], b[6], b[7] = table, unix.RTPROT_BOOT, scope, kind
	return NewMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, b)
}

// DefaultRoute sends everything without a better route to gateway.
func DefaultRoute(index int32, gateway netip.Addr) *Message {
	return newRoute(familyOf(gateway), unix.RT_TABLE_MAIN, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0).
		Bytes(unix.RTA_GATEWAY, gateway.AsSlice()).Uint32(unix.RTA_OIF, uint32(index))
}

// LinkRoute sends everything without a better route, of the version of IP that
// ip is of, straight to the link.
func LinkRoute(index int32, ip netip.Addr) *Message {
	return newRoute(familyOf(ip), unix.RT_TABLE_MAIN, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0).Uint32(unix.RTA_OIF, uint32(index))
}

// LoopbackBy lets a link bring in what is for ::1 once it is translated. The
// kernel looks such an address up on the link alone that it came by.
func LoopbackBy(index int32) *Message {
	const last = 1024 // the loopback's own route comes first, and each link has one of its own
	return newRoute(unix.AF_INET6, unix.RT_TABLE_LOCAL, unix.RT_SCOPE_UNIVERSE, unix.RTN_LOCAL, 128).
		Bytes(unix.RTA_DST, netip.IPv6Loopback().AsSlice()).Uint32(unix.RTA_OIF, uint32(index)).Uint32(unix.RTA_PRIORITY, last+uint32(index))
}

// Route is a route to a network.
type Route struct {
	Dst netip.Prefix // 0.0.0.0/0 or ::/0 is a default route
	OIF int32
}

// Routes lists the unicast routes of every table but the local one, of one
// version of IP, AF_INET or AF_INET6.
func (c *Conn) Routes(family uint8) ([]Route, error) {
	b := make([]byte, unix.SizeofRtMsg)
	b[0] = family
	ask := NewMessage(unix.RTM_GETROUTE, 0, b)
	return whole(same[Route], func(add func(Route)) (bool, error) {
		return c.Dump(ask, func(kind uint16, body []byte) {
			if r, ok := parseRoute(family, body); ok && kind == unix.RTM_NEWROUTE {
				add(r)
			}
		})
	}, nil)
}

func parseRoute(family uint8, body []byte) (r Route, ok bool) {
	if len(body) < unix.SizeofRtMsg || body[0] != family || body[4] == unix.RT_TABLE_LOCAL || body[7] != unix.RTN_UNICAST {
		return r, false
	}
	every := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		every = netip.IPv6Unspecified()
	}
	r.Dst = netip.PrefixFrom(every, 0)
	bits := int(body[1])
	Attrs(body[unix.SizeofRtMsg:], func(kind uint16, data []byte) {
		switch kind {
		case unix.RTA_DST:
			if ip, ok := netip.AddrFromSlice(data); ok {
				r.Dst = netip.PrefixFrom(ip, bits)
			}
		case unix.RTA_OIF:
			if len(data) == 4 {
				r.OIF = int32(binary.NativeEndian.Uint32(data))
			}
		}
	})
	return r, true
}

package rtnl

import (
	"encoding/binary"
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// What x/sys does not name.
const (
	vethInfoPeer = 1
	addrGenNone  = 1
)

// IfInfo is the fixed body of a link message.
func IfInfo(family uint8, index int32, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	b[0] = family
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	return b
}

// Veth describes a pair: one end here on a bridge, the other in a namespace.
type Veth struct {
	Name     string
	Bridge   int32 // index of the bridge
	MTU      uint32
	Peer     string
	PeerMAC  net.HardwareAddr
	PeerNS   int // descriptor of its namespace
	Alias    string
	Isolated bool // from the other ports of the bridge
}

// Messages creates the pair, the near end up and on its bridge,
// then sets what can only be set on a port. One queue each way: the default is
// one per processor, each with its own entries in sysfs.
func (v *Veth) Messages() []*Message {
	up := uint32(unix.IFF_UP)
	create := NewMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, IfInfo(0, 0, up, up)).
		Text(unix.IFLA_IFNAME, v.Name).
		Uint32(unix.IFLA_MTU, v.MTU).
		Uint32(unix.IFLA_NUM_TX_QUEUES, 1).Uint32(unix.IFLA_NUM_RX_QUEUES, 1).
		Uint32(unix.IFLA_MASTER, uint32(v.Bridge)).
		Nest(unix.IFLA_LINKINFO).Text(unix.IFLA_INFO_KIND, "veth").
		Nest(unix.IFLA_INFO_DATA).Nest(vethInfoPeer).Raw(IfInfo(0, 0, 0, 0)).
		Text(unix.IFLA_IFNAME, v.Peer).
		Uint32(unix.IFLA_MTU, v.MTU).
		Uint32(unix.IFLA_NUM_TX_QUEUES, 1).Uint32(unix.IFLA_NUM_RX_QUEUES, 1).
		Bytes(unix.IFLA_ADDRESS, v.PeerMAC).
		Uint32(unix.IFLA_NET_NS_FD, uint32(v.PeerNS)).
		End().End().End()
	isolated := uint8(0)
	if v.Isolated {
		isolated = 1
	}
	port := NewMessage(unix.RTM_NEWLINK, 0, IfInfo(0, 0, 0, 0)).
		Text(unix.IFLA_IFNAME, v.Name).
		Text(unix.IFLA_IFALIAS, v.Alias).
		Nest(unix.IFLA_LINKINFO).Text(unix.IFLA_INFO_SLAVE_KIND, "bridge").
		Nest(unix.IFLA_INFO_SLAVE_DATA).Uint8(unix.IFLA_BRPORT_MODE, 1).Uint8(unix.IFLA_BRPORT_ISOLATED, isolated).End().End()
	return []*Message{create, port}
}

// NewBridge creates a bridge that is down.
func NewBridge(name string, mtu uint32) *Message {
	return NewMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, IfInfo(0, 0, 0, 0)).
		Text(unix.IFLA_IFNAME, name).
		Uint32(unix.IFLA_MTU, mtu).
		Nest(unix.IFLA_LINKINFO).Text(unix.IFLA_INFO_KIND, "bridge").
		Nest(unix.IFLA_INFO_DATA).Uint32(unix.IFLA_BR_FORWARD_DELAY, 0).Uint8(unix.IFLA_BR_MCAST_SNOOPING, 0).End().End()
}

// Configure gives a link its alias, address and generation mode, and brings it
// up. An empty alias or MAC leaves what is.
func Configure(name, alias string, mac net.HardwareAddr, noLinkLocal bool) *Message {
	m := NewMessage(unix.RTM_NEWLINK, 0, IfInfo(0, 0, unix.IFF_UP, unix.IFF_UP)).Text(unix.IFLA_IFNAME, name)
	if alias != "" {
		m.Text(unix.IFLA_IFALIAS, alias)
	}
	if mac != nil {
		m.Bytes(unix.IFLA_ADDRESS, mac)
	}
	if noLinkLocal {
		withoutLinkLocal(m)
	}
	return m
}

// withoutLinkLocal keeps the kernel from giving the link an IPv6 address.
func withoutLinkLocal(m *Message) *Message {
	return m.Nest(unix.IFLA_AF_SPEC).Nest(unix.AF_INET6).Uint8(unix.IFLA_INET6_ADDR_GEN_MODE, addrGenNone).End().End()
}

// Up brings a link up by index, without an IPv6 address where asked.
func Up(index int32, noLinkLocal bool) *Message {
	m := NewMessage(unix.RTM_NEWLINK, 0, IfInfo(0, index, unix.IFF_UP, unix.IFF_UP))
	if noLinkLocal {
		withoutLinkLocal(m)
	}
	return m
}

// Delete removes the link of that name.
func Delete(name string) *Message {
	return NewMessage(unix.RTM_DELLINK, 0, IfInfo(0, 0, 0, 0)).Text(unix.IFLA_IFNAME, name)
}

// SetGroup puts a link into a group, and DeleteGroup removes all links of one
// at once: the kernel waits for readers once and not once a link.
func SetGroup(name string, group uint32) *Message {
	return NewMessage(unix.RTM_NEWLINK, 0, IfInfo(0, 0, 0, 0)).Text(unix.IFLA_IFNAME, name).Uint32(unix.IFLA_GROUP, group)
}

// DeleteGroup removes all links of a group.
func DeleteGroup(group uint32) *Message {
	return NewMessage(unix.RTM_DELLINK, 0, IfInfo(0, 0, 0, 0)).Uint32(unix.IFLA_GROUP, group)
}

// Link is what a listing tells about an interface.
type Link struct {
	Index  int32
	Name   string
	Alias  string
	Kind   string
	MTU    uint32
	Master int32
	Up     bool
	MAC    net.HardwareAddr
}

func parseLink(body []byte) (Link, bool) {
	if len(body) < unix.SizeofIfInfomsg {
		return Link{}, false
	}
	l := Link{
		Index: int32(binary.NativeEndian.Uint32(body[4:])),
		Up:    binary.NativeEndian.Uint32(body[8:])&unix.IFF_UP != 0,
	}
	Attrs(body[unix.SizeofIfInfomsg:], func(kind uint16, data []byte) {
		switch {
		case kind == unix.IFLA_IFNAME:
			l.Name = Text(data)
		case kind == unix.IFLA_IFALIAS:
			l.Alias = Text(data)
		case kind == unix.IFLA_MTU && len(data) == 4:
			l.MTU = binary.NativeEndian.Uint32(data)
		case kind == unix.IFLA_MASTER && len(data) == 4:
			l.Master = int32(binary.NativeEndian.Uint32(data))
		case kind == unix.IFLA_ADDRESS:
			l.MAC = append(net.HardwareAddr(nil), data...)
		case kind == unix.IFLA_LINKINFO:
			Attrs(data, func(kind uint16, data []byte) {
				if kind == unix.IFLA_INFO_KIND {
					l.Kind = Text(data)
				}
			})
		}
	})
	return l, true
}

// Links lists all interfaces.
func (c *Conn) Links() ([]Link, error) {
	ask := NewMessage(unix.RTM_GETLINK, 0, IfInfo(0, 0, 0, 0))
	return whole(func(l Link) int32 { return l.Index }, func(add func(Link)) (bool, error) {
		return c.Dump(ask, func(kind uint16, body []byte) {
			if l, ok := parseLink(body); ok && kind == unix.RTM_NEWLINK {
				add(l)
			}
		})
	}, func(l Link) (Link, bool, error) {
		now, err := c.LinkAt(l.Index)
		if errors.Is(err, unix.ENODEV) {
			return now, false, nil
		}
		return now, err == nil, err
	})
}

// Link looks one interface up by name.
func (c *Conn) Link(name string) (Link, error) {
	return c.link(NewMessage(unix.RTM_GETLINK, 0, IfInfo(0, 0, 0, 0)).Text(unix.IFLA_IFNAME, name))
}

// LinkAt looks one interface up by number.
func (c *Conn) LinkAt(index int32) (Link, error) {
	return c.link(NewMessage(unix.RTM_GETLINK, 0, IfInfo(0, index, 0, 0)))
}

func (c *Conn) link(m *Message) (out Link, err error) {
	err = c.Get(m, func(_ uint16, body []byte) { out, _ = parseLink(body) })
	return out, err
}

// ConcernsAll reports whether a netconf message speaks of the host-wide settings.
func ConcernsAll(body []byte) (all bool) {
	const (
		header      = 4 // struct netconfmsg, padded
		kindIfindex = 1 // NETCONFA_IFINDEX
		indexAll    = ^uint32(0)
	)
	if len(body) < header {
		return false
	}
	Attrs(body[header:], func(kind uint16, data []byte) {
		if kind == kindIfindex && len(data) == 4 {
			all = binary.NativeEndian.Uint32(data) == indexAll
		}
	})
	return all
}

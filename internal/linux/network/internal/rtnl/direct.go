package rtnl

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// What x/sys does not name.
const (
	macvlanMode = 1
	ipvlanMode  = 1
	ipvlanFlags = 2
)

// Direct describes an interface on top of a parent, born in a namespace.
type Direct struct {
	Kind   string // macvlan or ipvlan
	Name   string
	Parent int32
	Mode   uint32
	Flags  uint32
	MTU    uint32           // 0: the parent's
	MAC    net.HardwareAddr // ipvlan has its parent's
	NS     int
}

// Message creates the interface.
func (d *Direct) Message() *Message {
	m := NewMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, IfInfo(0, 0, 0, 0)).
		Text(unix.IFLA_IFNAME, d.Name).
		Uint32(unix.IFLA_LINK, uint32(d.Parent)).
		Uint32(unix.IFLA_NET_NS_FD, uint32(d.NS))
	if d.MTU != 0 {
		m.Uint32(unix.IFLA_MTU, d.MTU)
	}
	if d.MAC != nil {
		m.Bytes(unix.IFLA_ADDRESS, d.MAC)
	}
	m.Nest(unix.IFLA_LINKINFO).Text(unix.IFLA_INFO_KIND, d.Kind).Nest(unix.IFLA_INFO_DATA)
	if d.Kind == "macvlan" {
		m.Uint32(macvlanMode, d.Mode)
	} else {
		m.Uint16(ipvlanMode, uint16(d.Mode)).Uint16(ipvlanFlags, uint16(d.Flags))
	}
	return m.End().End()
}

// Pair creates two interfaces, each the other's end.
func Pair(name, peer string) *Message {
	return NewMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, IfInfo(0, 0, 0, 0)).
		Text(unix.IFLA_IFNAME, name).
		Nest(unix.IFLA_LINKINFO).Text(unix.IFLA_INFO_KIND, "veth").
		Nest(unix.IFLA_INFO_DATA).Nest(vethInfoPeer).Raw(IfInfo(0, 0, 0, 0)).
		Text(unix.IFLA_IFNAME, peer).
		End().End().End()
}

// Rename gives a link that is down another name.
func Rename(index int32, name string) *Message {
	return NewMessage(unix.RTM_NEWLINK, 0, IfInfo(0, index, 0, 0)).Text(unix.IFLA_IFNAME, name)
}

// Alias gives a link an alias.
func Alias(index int32, alias string) *Message {
	return NewMessage(unix.RTM_NEWLINK, 0, IfInfo(0, index, 0, 0)).Text(unix.IFLA_IFALIAS, alias)
}

// DeleteIndex removes the link of that number.
func DeleteIndex(index int32) *Message {
	return NewMessage(unix.RTM_DELLINK, 0, IfInfo(0, index, 0, 0))
}

// Uint16 appends a short number in the host's byte order.
func (m *Message) Uint16(kind uint16, v uint16) *Message {
	return m.Bytes(kind, binary.NativeEndian.AppendUint16(nil, v))
}

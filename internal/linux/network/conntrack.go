package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"lus/internal/linux/network/internal/rtnl"
)

// Numbers of the conntrack netlink protocol.
const (
	ctGet    = 1
	ctDelete = 2

	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaTupleIP    = 1
	ctaTupleProto = 2
	ctaIPv4Src    = 1
	ctaIPv6Src    = 3
	ctaProtoNum   = 1
	ctaProtoDst   = 3
	ctaFilter     = 25
	ctaFilterOrig = 1
	ctaFilterRepl = 2

	filterIPSrc    = 1 << 0
	filterProtoNum = 1 << 3
	filterProtoDst = 1 << 5
)

// conntrack forgets connections. Without that a client of a dead container
// would reach the next one that gets its address, and one that sent to a port
// before it was published would go on missing it.
type conntrack struct {
	mu   sync.Mutex
	conn *rtnl.Conn
	// slow: this kernel deletes by exact entry only (before 6.8).
	slow bool
}

func newConntrack() (*conntrack, error) {
	conn, err := rtnl.Dial(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	return &conntrack{conn: conn}, nil
}

// Close closes the connection.
func (c *conntrack) Close() error { return c.conn.Close() }

// match says which connections are meant.
type match struct {
	reply   bool       // look at the tuple of the answers
	src     netip.Addr // where valid
	proto   uint8      // where port is set
	dstPort uint16
	six     bool // of IPv6, where src does not say so
}

func (f match) newMessage(kind uint16) *rtnl.Message {
	family := byte(unix.AF_INET)
	if f.six || f.src.Is6() {
		family = unix.AF_INET6
	}
	return rtnl.NewMessage(unix.NFNL_SUBSYS_CTNETLINK<<8|kind, 0, []byte{family, 0, 0, 0})
}

// srcKind is the attribute that holds src.
func (f match) srcKind() uint16 {
	if f.src.Is6() {
		return ctaIPv6Src
	}
	return ctaIPv4Src
}

// message is a request with a filter. A kernel that knows no filters takes it
// for an incomplete tuple and refuses; it does not flush everything.
func (f match) message(kind uint16) *rtnl.Message {
	tuple, where := uint16(ctaTupleOrig), uint16(ctaFilterOrig)
	if f.reply {
		tuple, where = ctaTupleReply, ctaFilterRepl
	}
	var flags uint32
	m := f.newMessage(kind).Nest(tuple | unix.NLA_F_NESTED)
	if f.src.IsValid() {
		m.Nest(ctaTupleIP|unix.NLA_F_NESTED).Bytes(f.srcKind(), f.src.AsSlice()).End()
		flags |= filterIPSrc
	}
	if f.dstPort != 0 {
		m.Nest(ctaTupleProto|unix.NLA_F_NESTED).Uint8(ctaProtoNum, f.proto).
			Bytes(ctaProtoDst, binary.BigEndian.AppendUint16(nil, f.dstPort)).End()
		flags |= filterProtoNum | filterProtoDst
	}
	return m.End().Nest(ctaFilter|unix.NLA_F_NESTED).Uint32(where, flags).End()
}

// flush deletes the matching entries.
func (c *conntrack) flush(f match) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.slow {
		err := c.conn.Do(f.message(ctDelete))
		if err == nil || errors.Is(err, syscall.ENOENT) {
			return nil
		}
		c.slow = true
	}
	return c.flushByListing(f)
}

// flushByListing reads the table and deletes entry by entry.
func (c *conntrack) flushByListing(f match) error {
	var found []*rtnl.Message
	// The kernel keeps its place in this list whatever goes.
	_, err := c.conn.Dump(f.newMessage(ctGet), func(_ uint16, body []byte) {
		if len(body) < 4 {
			return
		}
		var orig, reply []byte
		rtnl.Attrs(body[4:], func(kind uint16, data []byte) {
			switch kind {
			case ctaTupleOrig:
				orig = data
			case ctaTupleReply:
				reply = data
			}
		})
		tuple := orig
		if f.reply {
			tuple = reply
		}
		if f.matches(tuple) {
			found = append(found, f.newMessage(ctDelete).Bytes(ctaTupleOrig|unix.NLA_F_NESTED, orig))
		}
	})
	if err != nil {
		return fmt.Errorf("listing connections: %w", err)
	}
	for _, m := range found {
		if err := c.conn.Do(m); err != nil && !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("forgetting a connection: %w", err)
		}
	}
	return nil
}

func (f match) matches(tuple []byte) bool {
	ok := !f.src.IsValid()
	portOK, protoOK := f.dstPort == 0, f.dstPort == 0
	rtnl.Attrs(tuple, func(kind uint16, data []byte) {
		rtnl.Attrs(data, func(inner uint16, value []byte) {
			switch {
			case kind == ctaTupleIP && inner == f.srcKind() && f.src.IsValid():
				ip, valid := netip.AddrFromSlice(value)
				ok = valid && ip == f.src
			case kind == ctaTupleProto && inner == ctaProtoNum && f.dstPort != 0:
				protoOK = len(value) == 1 && value[0] == f.proto
			case kind == ctaTupleProto && inner == ctaProtoDst && f.dstPort != 0:
				portOK = len(value) == 2 && binary.BigEndian.Uint16(value) == f.dstPort
			}
		})
	})
	return ok && portOK && protoOK
}

// flushAddress forgets the connections from and to a container's address.
func (c *conntrack) flushAddress(ip netip.Addr) error {
	return errors.Join(c.flush(match{src: ip}), c.flush(match{reply: true, src: ip}))
}

// flushPort forgets what was sent to a port of the host.
func (c *conntrack) flushPort(proto uint8, port uint16, six bool) error {
	return c.flush(match{proto: proto, dstPort: port, six: six})
}

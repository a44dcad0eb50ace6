package rtnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Message is one netlink message under construction. Attributes are appended
// in order; Nest and End bracket those that hold others.
type Message struct {
	buf  []byte
	open []int
}

// NewMessage starts a message with its fixed body (ifinfomsg and the like).
func NewMessage(kind, flags uint16, body []byte) *Message {
	m := &Message{buf: make([]byte, unix.NLMSG_HDRLEN, 256)}
	binary.NativeEndian.PutUint16(m.buf[4:], kind)
	binary.NativeEndian.PutUint16(m.buf[6:], flags|unix.NLM_F_REQUEST)
	m.buf = append(m.buf, body...)
	m.pad()
	return m
}

func (m *Message) pad() {
	for len(m.buf)%4 != 0 {
		m.buf = append(m.buf, 0)
	}
}

// Bytes appends an attribute.
func (m *Message) Bytes(kind uint16, data []byte) *Message {
	m.buf = binary.NativeEndian.AppendUint16(m.buf, uint16(4+len(data)))
	m.buf = binary.NativeEndian.AppendUint16(m.buf, kind)
	m.buf = append(m.buf, data...)
	m.pad()
	return m
}

// Text appends a string attribute, ended by a zero byte.
func (m *Message) Text(kind uint16, s string) *Message {
	return m.Bytes(kind, append([]byte(s), 0))
}

// Uint8 appends a byte.
func (m *Message) Uint8(kind uint16, v uint8) *Message { return m.Bytes(kind, []byte{v}) }

// Uint32 appends a number in the host's byte order.
func (m *Message) Uint32(kind uint16, v uint32) *Message {
	return m.Bytes(kind, binary.NativeEndian.AppendUint32(nil, v))
}

// Nest opens an attribute that holds the following ones until End.
func (m *Message) Nest(kind uint16) *Message {
	m.open = append(m.open, len(m.buf))
	return m.Bytes(kind, nil)
}

// Raw appends bytes without a header: the fixed struct that some nested
// attributes begin with.
func (m *Message) Raw(b []byte) *Message {
	m.buf = append(m.buf, b...)
	m.pad()
	return m
}

// End closes the innermost open attribute.
func (m *Message) End() *Message {
	at := m.open[len(m.open)-1]
	m.open = m.open[:len(m.open)-1]
	binary.NativeEndian.PutUint16(m.buf[at:], uint16(len(m.buf)-at))
	return m
}

// finish writes length and sequence number, and asks for an acknowledgement.
func (m *Message) finish(seq uint32, flags uint16) []byte {
	binary.NativeEndian.PutUint32(m.buf[0:], uint32(len(m.buf)))
	f := binary.NativeEndian.Uint16(m.buf[6:])
	binary.NativeEndian.PutUint16(m.buf[6:], f|flags)
	binary.NativeEndian.PutUint32(m.buf[8:], seq)
	binary.NativeEndian.PutUint32(m.buf[12:], 0)
	return m.buf
}

// Attrs walks the attributes in b. A malformed tail ends the walk.
func Attrs(b []byte, fn func(kind uint16, data []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		fn(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[4:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}

// Text reads a string attribute.
func Text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

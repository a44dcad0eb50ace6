package server

import (
	"errors"
	"net/netip"
	"sync"
	"syscall"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// pages are buffers for questions: one byte more than the largest, so that
// what is larger shows. Those for answers of other servers take all there is.
var (
	pages       = sync.Pool{New: func() any { b := make([]byte, maxQuery+1); return &b }}
	answerPages = sync.Pool{New: func() any { b := make([]byte, dns.MaxMsgSize); return &b }}
)

// question waits for one and tells who asks. The caller gives the page back to
// pages.
func question(raw syscall.RawConn) (*[]byte, netip.AddrPort, error) {
	page, from, err := receive(raw, &pages)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	in, ok := from.(*unix.SockaddrInet4)
	if !ok {
		pages.Put(page)
		return nil, netip.AddrPort{}, errors.New("not an IPv4 asker")
	}
	return page, netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)), nil
}

// receive waits for a datagram without holding a buffer. The caller gives the
// page back to the pool.
func receive(raw syscall.RawConn, pool *sync.Pool) (*[]byte, unix.Sockaddr, error) {
	var page *[]byte
	var from unix.Sockaddr
	var inner error
	err := raw.Read(func(fd uintptr) bool {
		p := pool.Get().(*[]byte)
		*p = (*p)[:cap(*p)]
		var n int
		n, from, inner = unix.Recvfrom(int(fd), *p, unix.MSG_DONTWAIT)
		if inner != nil {
			pool.Put(p)
			return !errors.Is(inner, unix.EAGAIN) && !errors.Is(inner, unix.EINTR)
		}
		*p = (*p)[:n]
		page = p
		return true
	})
	return page, from, errors.Join(err, inner)
}

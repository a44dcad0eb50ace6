package server

import (
	"errors"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// pages are buffers for questions: one byte more than the largest, so that
// what is larger shows.
var pages = sync.Pool{New: func() any { b := make([]byte, maxQuery+1); return &b }}

// receive waits for a datagram without holding a buffer. The caller gives the
// page back to pages.
func receive(raw syscall.RawConn) (*[]byte, netip.AddrPort, error) {
	var page *[]byte
	var from unix.Sockaddr
	var inner error
	err := raw.Read(func(fd uintptr) bool {
		p := pages.Get().(*[]byte)
		*p = (*p)[:cap(*p)]
		var n int
		n, from, inner = unix.Recvfrom(int(fd), *p, unix.MSG_DONTWAIT)
		if inner != nil {
			pages.Put(p)
			return !errors.Is(inner, unix.EAGAIN) && !errors.Is(inner, unix.EINTR)
		}
		*p = (*p)[:n]
		page = p
		return true
	})
	if err = errors.Join(err, inner); err != nil {
		return nil, netip.AddrPort{}, err
	}
	in, ok := from.(*unix.SockaddrInet4)
	if !ok {
		pages.Put(page)
		return nil, netip.AddrPort{}, errors.New("not an IPv4 asker")
	}
	return page, netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)), nil
}

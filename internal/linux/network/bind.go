package network

import (
	"errors"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// bind makes the socket that holds a port. It never listens: what reaches it
// in spite of the rules is refused, not swallowed.
func bind(ip netip.Addr, port uint16, kind, proto int) (*os.File, uint16, error) {
	family := unix.AF_INET
	if ip.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return nil, 0, err
	}
	to, err := sockaddr(fd, ip, port)
	if err == nil {
		err = unix.Bind(fd, to)
	}
	if errors.Is(err, unix.EADDRINUSE) && port != 0 && proto == unix.IPPROTO_TCP {
		err = bindOverRemains(fd, to)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, 0, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, 0, err
	}
	switch in := name.(type) {
	case *unix.SockaddrInet4:
		port = uint16(in.Port)
	case *unix.SockaddrInet6:
		port = uint16(in.Port)
	}
	return os.NewFile(uintptr(fd), "port "+strconv.Itoa(int(port))), port, nil
}

// sockaddr is the address to bind to. A socket for IPv6 leaves IPv4 alone.
func sockaddr(fd int, ip netip.Addr, port uint16) (unix.Sockaddr, error) {
	if ip.Is6() {
		err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
		return &unix.SockaddrInet6{Port: int(port), Addr: ip.As16()}, err
	}
	return &unix.SockaddrInet4{Port: int(port), Addr: ip.As4()}, nil
}

// bindOverRemains takes a port on which only connections in TIME_WAIT are left,
// as a server that was just stopped leaves them. SO_REUSEADDR allows that, but
// then another such socket could bind beside ours; listening for an instant
// makes the kernel forget that the port may be shared, and clearing the option
// keeps it so.
func bindOverRemains(fd int, to unix.Sockaddr) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, to); err != nil {
		return err
	}
	if err := unix.Listen(fd, 0); err != nil {
		return err
	}
	if err := unix.Shutdown(fd, unix.SHUT_RDWR); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
}

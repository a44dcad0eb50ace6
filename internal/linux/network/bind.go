package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/container"
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

// anyTries is how often a port is chosen anew that is free of one version of IP
// and not of the other.
const anyTries = 32

// take binds sockets on the first port of the range asked for that is free on
// all addresses.
func (m *Manager) take(p publication) (files []*os.File, port uint16, err error) {
	number, kind, err := protocol(p.Proto)
	if err != nil {
		return nil, 0, err
	}
	tries := 1
	if p.HostLo == 0 && len(p.on) > 1 {
		tries = anyTries
	}
	for want := p.HostLo; ; {
		files, port, at, err := bindAll(p.on, want, kind, int(number))
		if err == nil {
			return files, port, nil
		}
		tries--
		again := p.HostLo == 0 && tries > 0
		if errors.Is(err, syscall.EADDRINUSE) && (want < p.HostHi || again) {
			if want != 0 {
				want++
			}
			continue
		}
		return nil, 0, m.bindError(at, number, p.PublishedPort, err)
	}
}

// bindAll binds one port on all addresses; at is the one where it failed.
func bindAll(on []netip.Addr, want uint16, kind, proto int) (files []*os.File, port uint16, at netip.Addr, err error) {
	port = want
	for _, ip := range on {
		var f *os.File
		if f, port, err = bind(ip, port, kind, proto); err != nil {
			closeAll(files)
			return nil, 0, ip, err
		}
		files = append(files, f)
	}
	return files, port, at, nil
}

func (m *Manager) bindError(ip netip.Addr, number uint8, p container.PublishedPort, err error) error {
	where := netip.AddrPortFrom(ip, p.HostLo)
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && p.HostHi > p.HostLo:
		return errs.New(errs.Conflict, "Bind for %s failed: all %s ports from %d to %d are already allocated", ip, protocolName(number), p.HostLo, p.HostHi)
	case errors.Is(err, syscall.EADDRINUSE):
		return errs.New(errs.Conflict, "Bind for %s failed: port is already allocated: %s port %d is held by %s; stop it or publish another port",
			where, protocolName(number), p.HostLo, m.holderOf(number, where))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errs.New(errs.Invalid, "cannot publish on %s: no interface of this host has that address", ip)
	case errors.Is(err, syscall.EPROTONOSUPPORT):
		return errs.New(errs.Unsupported, "cannot publish %s ports: this kernel does not know the protocol (modprobe %s)", protocolName(number), protocolName(number))
	}
	return fmt.Errorf("binding %s port %s: %w", protocolName(number), where, err)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/firewall"
	"lus/internal/model/container"
)

// protocols by name, as the firewall numbers them.
func protocol(name string) (number uint8, socket int, err error) {
	switch name {
	case "", "tcp":
		return unix.IPPROTO_TCP, unix.SOCK_STREAM, nil
	case "udp":
		return unix.IPPROTO_UDP, unix.SOCK_DGRAM, nil
	case "sctp":
		return unix.IPPROTO_SCTP, unix.SOCK_STREAM, nil
	}
	return 0, 0, errs.New(errs.Invalid, "invalid protocol %q: write tcp, udp or sctp", name)
}

func protocolName(number uint8) string {
	switch number {
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	return "tcp"
}

// portKey is the name under which a container's sockets are held.
func portKey(containerID string) string { return "ports/" + containerID }

// Publish takes the host's ports for the container at ip: a bound, silent
// socket keeps everybody else off each, and one transaction makes the rules.
// All or nothing. The answer tells which host port each container port got.
// On an internal network nothing is published, as nothing may come in, nor on
// a direct one.
func (m *Manager) Publish(ctx context.Context, containerID string, ip netip.Addr, bridgeOf string, ports []container.PublishedPort) (container.PortMap, error) {
	out := container.PortMap{}
	if len(ports) == 0 {
		return out, nil
	}
	b, err := m.bridgeOf(bridgeOf)
	if err != nil {
		return nil, err
	}
	if b.direct != nil {
		return out, nil // its ports are open at its own address
	}
	if b.internal {
		m.log.Warn("ports are not published on an internal network", "container", containerID)
		return out, nil
	}
	if !ip.Is4() {
		return nil, errs.New(errs.Invalid, "publishing needs the container's IPv4 address, not %q", ip)
	}
	for i := range ports {
		if !ports[i].HostIP.IsValid() {
			ports[i].HostIP = b.hostIP
		}
	}
	put := func(p container.PublishedPort, made firewall.Mapping) {
		key := container.Port{Number: p.Number, Proto: protocolName(made.Proto)}.String()
		out[key] = append(out[key], container.PortBinding{HostIP: hostIP(p.HostIP).String(), HostPort: strconv.Itoa(int(made.HostPort))})
	}
	if err := m.publishOwn(ctx, containerID, ip, ports, put); err != nil {
		return nil, err
	}
	for _, p := range ports {
		if !p.Sharable() {
			continue
		}
		made, err := m.join(ctx, containerID, ip, p)
		if err != nil {
			return nil, errors.Join(err, m.Unpublish(context.WithoutCancel(ctx), containerID))
		}
		put(p, made)
	}
	return out, nil
}

// publishOwn publishes those ports that are the container's alone.
func (m *Manager) publishOwn(ctx context.Context, containerID string, ip netip.Addr, ports []container.PublishedPort, put func(container.PublishedPort, firewall.Mapping)) error {
	var files []*os.File
	defer func() { closeAll(files) }()
	mappings := make([]firewall.Mapping, 0, len(ports))
	for _, p := range ports {
		if p.Sharable() {
			continue
		}
		f, port, err := m.take(p)
		if err != nil {
			return err
		}
		files = append(files, f)
		number, _, _ := protocol(p.Proto)
		made := firewall.Mapping{Proto: number, HostIP: anyless(p.HostIP), HostPort: port, To: netip.AddrPortFrom(ip, p.Number)}
		mappings = append(mappings, made)
		put(p, made)
	}
	if len(mappings) == 0 {
		return nil
	}
	if err := m.commit(ctx, containerID, mappings, files); err != nil {
		return err
	}
	if m.cfg.Holder == nil {
		files = nil // kept
	}
	return nil
}

// commit hands the sockets over and makes the rules.
func (m *Manager) commit(ctx context.Context, containerID string, mappings []firewall.Mapping, files []*os.File) error {
	m.mu.Lock()
	if len(m.ports[containerID]) > 0 {
		m.mu.Unlock()
		return errs.New(errs.Conflict, "container %s has published its ports already", m.who(containerID))
	}
	m.ports[containerID] = mappings
	m.mu.Unlock()
	err := m.hold(ctx, containerID, files)
	if err == nil {
		if err = m.fw.Publish(nil, mappings); err != nil {
			_ = m.drop(context.WithoutCancel(ctx), containerID)
		}
	}
	if err != nil {
		m.mu.Lock()
		delete(m.ports, containerID)
		m.mu.Unlock()
		return fmt.Errorf("publishing ports: %w", err)
	}
	for _, p := range mappings {
		if p.Proto == unix.IPPROTO_UDP {
			// Who sent before the port was published would go on missing it.
			if err := m.ct.flushPort(p.Proto, p.HostPort); err != nil {
				m.log.Warn("flushing connections of a published port", "port", p.HostPort, "err", err)
			}
		}
	}
	return nil
}

func (m *Manager) hold(ctx context.Context, containerID string, files []*os.File) error {
	return m.holdAs(ctx, portKey(containerID), files)
}

func (m *Manager) drop(ctx context.Context, containerID string) error {
	return m.dropAs(ctx, portKey(containerID))
}

func (m *Manager) holdAs(ctx context.Context, key string, files []*os.File) error {
	if m.cfg.Holder != nil {
		return m.cfg.Holder.Hold(ctx, key, files)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own[key] = files
	return nil
}

func (m *Manager) dropAs(ctx context.Context, key string) error {
	if m.cfg.Holder != nil {
		return m.cfg.Holder.Drop(ctx, key)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	closeAll(m.own[key])
	delete(m.own, key)
	return nil
}

// Move leads the container's published ports to its address on another
// network, without letting go of a port.
func (m *Manager) Move(_ context.Context, containerID, networkID string, ip netip.Addr) error {
	if _, err := m.bridgeOf(networkID); err != nil {
		return err
	}
	var from netip.Addr
	if err := m.alter(containerID, func(o *member) {
		from = o.to.Addr()
		o.to = netip.AddrPortFrom(ip, o.to.Port())
	}); err != nil {
		return err
	}
	m.mu.Lock()
	old := m.ports[containerID]
	m.mu.Unlock()
	if len(old) > 0 {
		from = old[0].To.Addr()
	}
	if !from.IsValid() {
		return nil
	}
	moved := slices.Clone(old)
	for i := range moved {
		moved[i].To = netip.AddrPortFrom(ip, moved[i].To.Port())
	}
	if err := m.fw.Publish(nil, moved); err != nil {
		return err
	}
	m.mu.Lock()
	if len(moved) > 0 {
		m.ports[containerID] = moved
	}
	m.mu.Unlock()
	// Who is known to the old address would go on missing the new one.
	if err := m.ct.flush(match{reply: true, src: from}); err != nil {
		m.log.Warn("flushing connections of a container", "container", containerID, "err", err)
	}
	return nil
}

// Unpublish frees the container's host ports: the rules first, then the
// sockets, so that nobody else's traffic meets the rules. It forgets the
// connections to the container's address where there is UDP, whose clients
// would else reach the next container.
func (m *Manager) Unpublish(ctx context.Context, containerID string) error {
	if err := m.leave(ctx, containerID); err != nil {
		return err
	}
	m.mu.Lock()
	mappings := m.ports[containerID]
	m.mu.Unlock()
	if len(mappings) == 0 {
		return nil
	}
	if err := m.fw.Publish(mappings, nil); err != nil {
		return err
	}
	if slices.ContainsFunc(mappings, func(p firewall.Mapping) bool { return p.Proto == unix.IPPROTO_UDP }) {
		if err := m.ct.flush(match{reply: true, src: mappings[0].To.Addr()}); err != nil {
			m.log.Warn("flushing connections of a container", "container", containerID, "err", err)
		}
	}
	m.mu.Lock()
	delete(m.ports, containerID)
	m.mu.Unlock()
	if err := m.drop(ctx, containerID); err != nil && !errs.Is(err, errs.NotFound) {
		return fmt.Errorf("freeing the ports of container %s: %w", m.who(containerID), err)
	}
	return nil
}

func hostIP(ip netip.Addr) netip.Addr {
	if !ip.IsValid() {
		return netip.IPv4Unspecified()
	}
	return ip.Unmap()
}

// anyless is the address a rule matches: none where it is every address.
func anyless(ip netip.Addr) netip.Addr {
	if ip = hostIP(ip); ip.IsUnspecified() {
		return netip.Addr{}
	}
	return ip
}

// take binds a socket on the first free port of the range asked for.
func (m *Manager) take(p container.PublishedPort) (*os.File, uint16, error) {
	ip := hostIP(p.HostIP)
	if !ip.Is4() {
		return nil, 0, errs.New(errs.Unsupported, "cannot publish on %s: ports are published on IPv4 addresses only; name one, or none for all", ip)
	}
	number, kind, err := protocol(p.Proto)
	if err != nil {
		return nil, 0, err
	}
	for port := p.HostLo; ; port++ {
		f, got, err := bind(ip, port, kind, int(number))
		if err == nil {
			return f, got, nil
		}
		if errors.Is(err, syscall.EADDRINUSE) && port < p.HostHi {
			continue
		}
		return nil, 0, m.bindError(ip, number, p, err)
	}
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

// bind makes the socket that holds a port. It never listens: what reaches it
// in spite of the rules is refused, not swallowed.
func bind(ip netip.Addr, port uint16, kind, proto int) (*os.File, uint16, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return nil, 0, err
	}
	to := &unix.SockaddrInet4{Port: int(port), Addr: ip.As4()}
	err = unix.Bind(fd, to)
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
	if in, ok := name.(*unix.SockaddrInet4); ok {
		port = uint16(in.Port)
	}
	return os.NewFile(uintptr(fd), "port "+strconv.Itoa(int(port))), port, nil
}

// bindOverRemains takes a port on which only connections in TIME_WAIT are left,
// as a server that was just stopped leaves them. SO_REUSEADDR allows that, but
// then another such socket could bind beside ours; listening for an instant
// makes the kernel forget that the port may be shared, and clearing the option
// keeps it so.
func bindOverRemains(fd int, to *unix.SockaddrInet4) error {
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

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

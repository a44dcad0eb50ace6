package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"

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

// Publish takes the host's ports for the container: a bound, silent socket
// keeps everybody else off each, and one transaction for each version of IP
// makes the rules. All or nothing. The answer tells which host port each
// container port got. A port that names no address is published on all of the
// host's, of each version that has a way. On an internal network nothing is
// published, as nothing may come in, nor on a direct one.
func (m *Manager) Publish(ctx context.Context, containerID string, ways Ways, ports []container.PublishedPort) (container.PortMap, error) {
	out := container.PortMap{}
	if len(ports) == 0 {
		return out, nil
	}
	var families []Family
	var everywhere []netip.Addr // where a port is published that names no address
	for _, family := range []Family{V4, V6} {
		b, err := m.wayIn(containerID, ways.to(family))
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		families = append(families, family)
		if at := b.everywhere(family); at.IsValid() {
			everywhere = append(everywhere, at)
		}
	}
	var own, shared []publication
	for _, p := range ports {
		pub := publication{PublishedPort: p, on: addressesFor(p.HostIP, everywhere, families)}
		switch {
		case len(pub.on) == 0 && p.HostIP.Is6() && len(families) > 0:
			return nil, errs.New(errs.Unsupported, "cannot publish on %s: the container has no IPv6 address that the port could lead to; put it on a network made with --ipv6", p.HostIP)
		case len(pub.on) == 0:
		case p.Sharable():
			shared = append(shared, pub)
		default:
			own = append(own, pub)
		}
	}
	if slices.Contains(families, V6) {
		if err := m.checkLoopback(slices.Concat(own, shared)); err != nil {
			return nil, err
		}
	}
	put := func(p publication, on netip.Addr, port uint16) {
		number, _, _ := protocol(p.Proto)
		key := container.Port{Number: p.Number, Proto: protocolName(number)}.String()
		out[key] = append(out[key], container.PortBinding{HostIP: on.String(), HostPort: strconv.Itoa(int(port))})
	}
	err := m.publishOwn(ctx, containerID, ways, own, put)
	for _, p := range shared {
		for _, on := range p.on {
			if err == nil {
				err = m.join(ctx, containerID, ways.to(familyOf(on)).IP, on, p.PublishedPort)
				put(p, on, p.HostLo)
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, m.Unpublish(context.WithoutCancel(ctx), containerID, families...))
	}
	return out, nil
}

// publication is one port to publish, with the addresses of the host.
type publication struct {
	container.PublishedPort
	on []netip.Addr
}

// wayIn is the bridge that a way leads over; nil where nothing comes in by it.
func (m *Manager) wayIn(containerID string, w Way) (*bridge, error) {
	if w.NetworkID == "" {
		return nil, nil
	}
	b, err := m.bridgeOf(w.NetworkID)
	if err != nil {
		return nil, err
	}
	if b.direct != nil {
		return nil, nil // its ports are open at its own address
	}
	if b.internal {
		m.log.Warn("ports are not published on an internal network", "container", containerID)
		return nil, nil
	}
	return b, nil
}

// everywhere is the host's address for ports that name none: that of the
// network, which stands for all of IPv6 too where it is 0.0.0.0.
func (b *bridge) everywhere(f Family) netip.Addr {
	every := !b.hostIP.IsValid() || b.hostIP.IsUnspecified()
	switch {
	case f == V6 && every:
		return netip.IPv6Unspecified()
	case f == V6:
		return netip.Addr{}
	case every:
		return netip.IPv4Unspecified()
	}
	return b.hostIP
}

// addressesFor are the host's addresses for a port: the one that it names, where
// there is a way for its version of IP, else those for all that name none.
func addressesFor(named netip.Addr, everywhere []netip.Addr, families []Family) []netip.Addr {
	if !named.IsValid() {
		return everywhere
	}
	if named = named.Unmap(); slices.Contains(families, familyOf(named)) {
		return []netip.Addr{named}
	}
	return nil
}

// checkLoopback refuses ::1 where the kernel would drop what comes back, and
// keeps connections to it from going astray there.
func (m *Manager) checkLoopback(ports []publication) error {
	works := loopbackTranslates()
	if v6 := m.fw.six(); v6 != nil {
		if err := v6.SetLoopback(works); err != nil {
			return err
		}
	}
	for _, p := range ports {
		if !works && slices.Contains(p.on, netip.IPv6Loopback()) {
			return errs.New(errs.Unsupported, "cannot publish on ::1: this host shows bridged packets to its rules (net.bridge.bridge-nf-call-ip6tables is 1), and then answers to ::1 get lost; set that to 0, or publish on 127.0.0.1")
		}
	}
	return nil
}

// publishOwn publishes those ports that are the container's alone.
func (m *Manager) publishOwn(ctx context.Context, containerID string, ways Ways, ports []publication, put func(publication, netip.Addr, uint16)) error {
	files, mappings := map[Family][]*os.File{}, map[Family][]firewall.Mapping{}
	defer func() {
		for _, f := range files {
			closeAll(f)
		}
	}()
	gone := map[slot]bool{} // what no choice may take
	for _, p := range ports {
		if number, _, err := protocol(p.Proto); err == nil && p.HostLo == p.HostHi {
			gone[slot{number, p.HostLo}] = true
		}
	}
	for _, p := range ports {
		number, _, err := protocol(p.Proto)
		if err != nil {
			return err
		}
		taken, port, err := m.take(m.like(containerID, p, gone))
		if err != nil {
			return err
		}
		gone[slot{number, port}] = true
		for i, on := range p.on {
			f := familyOf(on)
			files[f] = append(files[f], taken[i])
			mappings[f] = append(mappings[f], firewall.Mapping{Proto: number, HostIP: on, HostPort: port,
				To: netip.AddrPortFrom(ways.to(f).IP, p.Number)})
			put(p, on, port)
		}
	}
	for _, f := range []Family{V4, V6} {
		if len(mappings[f]) == 0 {
			continue
		}
		if err := m.commit(ctx, half{containerID, f}, mappings[f], files[f]); err != nil {
			return err
		}
		if m.cfg.Holder == nil {
			delete(files, f) // kept
		}
	}
	return nil
}

// slot is one port of the host.
type slot struct {
	proto uint8
	port  uint16
}

// like gives a port whose number is free to choose the one that it has already
// of the other version of IP.
func (m *Manager) like(containerID string, p publication, gone map[slot]bool) publication {
	if len(p.on) != 1 || p.HostIP.IsValid() || p.HostLo != 0 && p.HostLo == p.HostHi {
		return p
	}
	number, _, _ := protocol(p.Proto)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, have := range m.ports[half{containerID, !familyOf(p.on[0])}] {
		fits := p.HostLo == 0 || p.HostLo <= have.HostPort && have.HostPort <= p.HostHi
		if fits && have.Proto == number && have.To.Port() == p.Number && have.HostIP.IsUnspecified() && !gone[slot{number, have.HostPort}] {
			p.HostLo, p.HostHi = have.HostPort, have.HostPort
			break
		}
	}
	return p
}

// commit hands the sockets over and makes the rules.
func (m *Manager) commit(ctx context.Context, h half, mappings []firewall.Mapping, files []*os.File) error {
	m.mu.Lock()
	if len(m.ports[h]) > 0 {
		m.mu.Unlock()
		return errs.New(errs.Conflict, "container %s has published its ports already", m.who(h.container))
	}
	m.ports[h] = mappings
	m.mu.Unlock()
	err := m.holdAs(ctx, h.key(), files)
	if err == nil {
		if err = m.fw.publish(nil, mappings); err != nil {
			_ = m.dropAs(context.WithoutCancel(ctx), h.key())
		}
	}
	if err != nil {
		m.mu.Lock()
		delete(m.ports, h)
		m.mu.Unlock()
		return fmt.Errorf("publishing ports: %w", err)
	}
	for _, p := range mappings {
		if p.Proto == unix.IPPROTO_UDP {
			// Who sent before the port was published would go on missing it.
			if err := m.ct.flushPort(p.Proto, p.HostPort, forSix(p)); err != nil {
				m.log.Warn("flushing connections of a published port", "port", p.HostPort, "err", err)
			}
		}
	}
	return nil
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

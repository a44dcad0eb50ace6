package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
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

// Way is where published ports lead to: a container's address on a network.
type Way struct {
	NetworkID string
	IP        netip.Addr
}

// Ways are those of both versions of IP; the zero Way: there is none.
type Ways struct{ V4, V6 Way }

// Family is a version of IP.
type Family bool

// The versions.
const (
	V4 Family = false
	V6 Family = true
)

// half is what a container has published of one version of IP.
type half struct {
	container string
	family    Family
}

// Names under which a container's sockets are held begin so.
const (
	portPrefix  = "ports/"
	portPrefix6 = "ports6/"
)

// key is the name under which the sockets are held.
func (h half) key() string {
	if h.family == V6 {
		return portPrefix6 + h.container
	}
	return portPrefix + h.container
}

// halfOf reads a key.
func halfOf(key string) (half, bool) {
	if id, ok := strings.CutPrefix(key, portPrefix); ok {
		return half{id, V4}, true
	}
	id, ok := strings.CutPrefix(key, portPrefix6)
	return half{id, V6}, ok
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

func (w Ways) to(f Family) Way {
	if f == V6 {
		return w.V6
	}
	return w.V4
}

func familyOf(ip netip.Addr) Family { return Family(ip.Is6()) }

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

// Move leads the container's published ports to its addresses on other
// networks, of each version of IP that has a way, without letting go of a port.
func (m *Manager) Move(_ context.Context, containerID string, ways Ways) error {
	for _, f := range []Family{V4, V6} {
		if w := ways.to(f); w.NetworkID != "" {
			if err := m.move(half{containerID, f}, w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Manager) move(h half, w Way) error {
	if _, err := m.bridgeOf(w.NetworkID); err != nil {
		return err
	}
	var from netip.Addr
	if err := m.alter(h.container, func(o *member) {
		if familyOf(o.to.Addr()) == h.family {
			from = o.to.Addr()
			o.to = netip.AddrPortFrom(w.IP, o.to.Port())
		}
	}); err != nil {
		return err
	}
	m.mu.Lock()
	old := m.ports[h]
	m.mu.Unlock()
	if len(old) > 0 {
		from = old[0].To.Addr()
	}
	if !from.IsValid() {
		return nil
	}
	moved := slices.Clone(old)
	for i := range moved {
		moved[i].To = netip.AddrPortFrom(w.IP, moved[i].To.Port())
	}
	if err := m.fw.publish(nil, moved); err != nil {
		return err
	}
	m.mu.Lock()
	if len(moved) > 0 {
		m.ports[h] = moved
	}
	m.mu.Unlock()
	// Who is known to the old address would go on missing the new one.
	if err := m.ct.flush(match{reply: true, src: from}); err != nil {
		m.log.Warn("flushing connections of a container", "container", h.container, "err", err)
	}
	return nil
}

// Unpublish frees the container's host ports of these versions of IP, of both
// where none is named: the rules first, then the sockets, so that nobody else's
// traffic meets the rules. It forgets the connections to the container's
// address where there is UDP, whose clients would else reach the next container.
func (m *Manager) Unpublish(ctx context.Context, containerID string, families ...Family) error {
	if len(families) == 0 {
		families = []Family{V4, V6}
	}
	if err := m.leave(ctx, containerID, families); err != nil {
		return err
	}
	for _, f := range families {
		if err := m.withdraw(ctx, half{containerID, f}); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) withdraw(ctx context.Context, h half) error {
	m.mu.Lock()
	mappings := m.ports[h]
	m.mu.Unlock()
	if len(mappings) == 0 {
		return nil
	}
	if err := m.fw.publish(mappings, nil); err != nil {
		return err
	}
	if slices.ContainsFunc(mappings, func(p firewall.Mapping) bool { return p.Proto == unix.IPPROTO_UDP }) {
		if err := m.ct.flush(match{reply: true, src: mappings[0].To.Addr()}); err != nil {
			m.log.Warn("flushing connections of a container", "container", h.container, "err", err)
		}
	}
	m.mu.Lock()
	delete(m.ports, h)
	m.mu.Unlock()
	if err := m.dropAs(ctx, h.key()); err != nil && !errs.Is(err, errs.NotFound) {
		return fmt.Errorf("freeing the ports of container %s: %w", m.who(h.container), err)
	}
	return nil
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

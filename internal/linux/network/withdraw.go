package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/firewall"
)

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

package network

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/linux/firewall"
)

// adoptPorts learns who has published what, removes the rules of the dead and
// takes again what nobody holds any more.
func (m *Manager) adoptPorts(ctx context.Context, running []Running) error {
	wanted := map[firewall.Mapping]bool{}
	for _, r := range running {
		mappings, err := mappingsOf(r)
		if err != nil {
			return err
		}
		mappings = slices.DeleteFunc(mappings, func(p firewall.Mapping) bool {
			_, _, shared := r.sharing(p)
			return shared
		})
		if len(mappings) == 0 {
			continue
		}
		v4, v6 := split(mappings)
		m.mu.Lock()
		if len(v4) > 0 {
			m.ports[half{r.ContainerID, V4}] = v4
		}
		if len(v6) > 0 {
			m.ports[half{r.ContainerID, V6}] = v6
		}
		m.mu.Unlock()
		for _, p := range mappings {
			wanted[p] = true
		}
	}
	if err := m.adoptShared(running); err != nil {
		return err
	}
	for _, p := range m.sharedAlone() {
		wanted[p] = true
	}
	var stale, missing []firewall.Mapping
	have := m.fw.published()
	for _, p := range have {
		if !wanted[p] {
			stale = append(stale, p)
		}
	}
	for p := range wanted {
		if !slices.Contains(have, p) {
			missing = append(missing, p)
		}
	}
	if err := m.fw.publish(stale, missing); err != nil {
		return err
	}
	for _, p := range stale {
		if err := m.ct.flush(match{reply: true, src: p.To.Addr()}); err != nil {
			m.log.Warn("flushing connections of a dead container", "ip", p.To.Addr(), "err", err)
		}
	}
	return m.adoptHolds(ctx)
}

// mappingsOf turns what Publish answered back into rules.
func mappingsOf(r Running) ([]firewall.Mapping, error) {
	ports, err := r.Ports.Published()
	if err != nil {
		return nil, errs.New(errs.Invalid, "ports of container %s: %w", r.ContainerID, err)
	}
	var out []firewall.Mapping
	for _, p := range ports {
		number, _, err := protocol(p.Proto)
		if err != nil {
			return nil, err
		}
		on := p.HostIP.Unmap()
		if !on.IsValid() {
			on = netip.IPv4Unspecified()
		}
		to := r.Ways.to(familyOf(on)).IP
		if p.HostLo == 0 || to.Is6() != on.Is6() || !to.IsValid() {
			continue
		}
		out = append(out, firewall.Mapping{Proto: number, HostIP: on, HostPort: p.HostLo, To: netip.AddrPortFrom(to, p.Number)})
	}
	return out, nil
}

// adoptHolds drops the sockets held for the dead, and takes ports again whose
// sockets were lost with their keeper.
func (m *Manager) adoptHolds(ctx context.Context) error {
	held := map[half]bool{}
	var shared []string
	if m.cfg.Holder != nil {
		keys, err := m.cfg.Holder.Held(ctx)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if strings.HasPrefix(k, sharePrefix) {
				shared = append(shared, k)
			}
			h, ours := halfOf(k)
			if !ours {
				continue
			}
			held[h] = true
			m.mu.Lock()
			dead := len(m.ports[h]) == 0
			m.mu.Unlock()
			if dead {
				if err := m.cfg.Holder.Drop(ctx, k); err != nil && !errs.Is(err, errs.NotFound) {
					return err
				}
			}
		}
	}
	if err := m.adoptSharedHolds(ctx, shared); err != nil {
		return err
	}
	m.mu.Lock()
	lost := map[half][]firewall.Mapping{}
	for h, mappings := range m.ports {
		if !held[h] && m.own[h.key()] == nil {
			lost[h] = mappings
		}
	}
	m.mu.Unlock()
	for h, mappings := range lost {
		m.retake(ctx, h, mappings)
	}
	return nil
}

// retake binds the ports of a container that runs on. Where another program
// was quicker the rules still stand; the log names it.
func (m *Manager) retake(ctx context.Context, h half, mappings []firewall.Mapping) {
	containerID := h.container
	var files []*os.File
	for _, p := range mappings {
		_, kind, _ := protocol(protocolName(p.Proto))
		f, _, err := bind(p.HostIP, p.HostPort, kind, int(p.Proto))
		if err != nil {
			m.log.Warn("a published port cannot be held", "container", m.who(containerID), "port", p.HostPort, "err", err)
			continue
		}
		files = append(files, f)
	}
	err := m.holdAs(ctx, h.key(), files)
	if err != nil {
		m.log.Warn("published ports cannot be held", "container", m.who(containerID), "err", err)
	}
	if m.cfg.Holder != nil {
		closeAll(files)
	}
}

package network

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"lus/internal/base/errs"
	"lus/internal/linux/network/internal/rtnl"
	model "lus/internal/model/network"
)

// bridge finds the network's bridge by its alias or makes it.
func (m *Manager) bridge(n *model.Network, o options, p, p6 *pool) (b *bridge, created bool, err error) {
	links, err := m.rt.Links()
	if err != nil {
		return nil, false, err
	}
	b = &bridge{id: n.ID, gateway: netip.PrefixFrom(p.gateway, p.subnet.Bits()), internal: n.Internal, talk: o.talk, pool: p, pool6: p6, mtu: o.mtu, hostIP: o.hostIP}
	if b.mtu == 0 {
		b.mtu = m.outwardMTU(links)
		if p6 != nil {
			b.mtu = max(b.mtu, leastMTU6)
		}
	}
	taken := map[string]bool{}
	for _, l := range links {
		taken[l.Name] = true
		if l.Alias == m.bridgeAlias(n.ID) && l.Kind == "bridge" {
			b.name, b.index, b.mtu = l.Name, l.Index, l.MTU
			return b, false, nil
		}
	}
	b.name = o.name
	for at := 0; b.name == "" && at+6 <= len(n.ID); at += 6 {
		if name := "lus" + m.cfg.Instance + n.ID[at:at+6]; !taken[name] {
			b.name = name
		}
	}
	if taken[b.name] || b.name == "" {
		return nil, false, nameTaken(b.name)
	}
	b.index, err = m.newBridge(b.name, m.bridgeAlias(n.ID), b.mtu)
	return b, err == nil, err
}

func nameTaken(name string) error {
	return errs.New(errs.Conflict, "an interface named %q exists already; choose another %s", name, optName)
}

// newBridge makes a bridge that is down. It gets its name and the alias that
// tells whose it is at once, for the daemon may be killed at any moment and what
// has a name of the user's choice could not be told from the user's own. The
// caller has the lock of the pools.
func (m *Manager) newBridge(name, alias string, mtu uint32) (index int32, err error) {
	half := m.halfMade()
	// One that a daemon was killed over.
	if err := m.rt.Do(rtnl.Delete(half)); err != nil && !errors.Is(err, syscall.ENODEV) {
		return 0, fmt.Errorf("removing bridge %s: %w", half, err)
	}
	if err := m.rt.Do(rtnl.NewBridge(half, mtu)); err != nil {
		return 0, fmt.Errorf("creating bridge %s: %w", name, err)
	}
	l, err := m.rt.Link(half)
	if err == nil {
		err = m.rt.Do(rtnl.Alias(l.Index, alias), rtnl.Rename(l.Index, name))
	}
	if err != nil {
		_ = m.rt.Do(rtnl.Delete(half))
	}
	switch {
	case errors.Is(err, syscall.EEXIST):
		return 0, nameTaken(name)
	case err != nil:
		return 0, fmt.Errorf("creating bridge %s: %w", name, err)
	}
	return l.Index, nil
}

// halfMade names a bridge that is being made.
func (m *Manager) halfMade() string { return "lus" + m.cfg.Instance + "new" }

func (m *Manager) bridgeAlias(networkID string) string {
	return "lus:" + m.cfg.Instance + ":net:" + networkID
}

package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/network/internal/rtnl"
	model "lus/internal/model/network"
)

// Direct networks, macvlan and ipvlan, put containers on the network of an
// interface of the host, their parent. Nothing of theirs passes the host: no
// bridge, no rules, no published ports.
type direct struct {
	kind   string // macvlan, ipvlan
	parent string
	mode   uint32
	flag   uint32 // ipvlan only
	routed bool   // ipvlan l3: no gateway, everything goes to the parent
	made   bool   // the parent is ours
	mtu    uint32 // 0: the parent's
}

// The options of direct networks, as Docker names them.
const (
	optParent      = "parent"
	optMacvlanMode = "macvlan_mode"
	optIpvlanMode  = "ipvlan_mode"
	optIpvlanFlag  = "ipvlan_flag"
)

// The modes as the kernel numbers them.
const passthru = 8

func macvlanModes() map[string]uint32 {
	return map[string]uint32{"": 4, "bridge": 4, "private": 1, "vepa": 2, "passthru": passthru}
}
func ipvlanModes() map[string]uint32 { return map[string]uint32{"": 0, "l2": 0, "l3": 1, "l3s": 2} }
func ipvlanFlags() map[string]uint32 {
	return map[string]uint32{"": 0, "bridge": 0, "private": 1, "vepa": 2}
}

func isDirect(n *model.Network) bool { return n.Driver == "macvlan" || n.Driver == "ipvlan" }

func readDirect(n *model.Network) (*direct, error) {
	o, err := readOptions(n)
	if err != nil {
		return nil, err
	}
	d := &direct{kind: n.Driver, parent: n.Options[optParent], mtu: o.mtu}
	pick := func(key string, from map[string]uint32) (v uint32, err error) {
		v, ok := from[n.Options[key]]
		if !ok {
			err = errs.New(errs.Invalid, "network %s: unknown %s %q", n.Name, key, n.Options[key])
		}
		return v, err
	}
	if d.kind == "macvlan" {
		d.mode, err = pick(optMacvlanMode, macvlanModes())
	} else if d.mode, err = pick(optIpvlanMode, ipvlanModes()); err == nil {
		d.flag, err = pick(optIpvlanFlag, ipvlanFlags())
		d.routed = d.mode != 0
	}
	if d.parent == "" || n.Internal { // nothing of it may leave the host
		d.parent, d.made = "dm-"+n.ID[:12], true
	}
	return d, err
}

// ensureDirect takes a direct network up. Its parent must be there when the
// network is made; one that is gone at a later start (adopt) is missed by the
// containers that need it and by nobody else.
func (m *Manager) ensureDirect(ctx context.Context, n *model.Network, adopt bool) error {
	if len(n.ID) < 12 {
		return errs.New(errs.Invalid, "network %s has no id", n.Name)
	}
	d, err := readDirect(n)
	if err != nil {
		return err
	}
	unlock, err := m.lockPools(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	p, p6, err := m.plan(n)
	if err != nil {
		return err
	}
	if err := m.shareable(n, d); err != nil {
		return err
	}
	if err := m.parent(n, d); err != nil && !adopt {
		return err
	} else if err != nil {
		m.log.Warn("a network's parent interface is not there", "network", n.Name, "err", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.bridges[n.ID]; old != nil {
		p = old.pool
		if p6 != nil && old.pool6 != nil {
			p6 = old.pool6
		}
	}
	m.bridges[n.ID] = &bridge{id: n.ID, direct: d, pool: p, pool6: p6, internal: n.Internal || d.made}
	m.config(n, p, p6)
	return nil
}

// parent finds the parent interface, or makes one that leads nowhere: a pair
// whose other end nobody has.
func (m *Manager) parent(n *model.Network, d *direct) error {
	l, err := m.rt.Link(d.parent)
	switch {
	case err == nil && l.Name == "lo":
		return errs.New(errs.Invalid, "network %s: the loopback interface cannot be the parent of a %s network", n.Name, d.kind)
	case err == nil:
		return nil
	case !errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("network %s: looking for its parent %s: %w", n.Name, d.parent, err)
	case !d.made:
		hint := "name one of this host with -o parent=INTERFACE"
		if under, id, ok := strings.Cut(d.parent, "."); ok {
			hint = fmt.Sprintf("make it with: ip link add link %s name %s type vlan id %s", under, d.parent, id)
		}
		return errs.New(errs.NotFound, "network %s: this host has no interface %s; %s", n.Name, d.parent, hint)
	}
	other := "dn-" + n.ID[:12]
	err = m.rt.Do(rtnl.Pair(d.parent, other),
		rtnl.Configure(d.parent, m.bridgeAlias(n.ID), nil, m.v6),
		rtnl.Configure(other, "lus:"+m.cfg.Instance+":end", nil, m.v6))
	if err != nil {
		_ = m.rt.Do(rtnl.Delete(d.parent))
		return fmt.Errorf("network %s: making its parent %s: %w", n.Name, d.parent, err)
	}
	return nil
}

// shareable refuses what a parent cannot be at once.
func (m *Manager) shareable(n *model.Network, d *direct) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, b := range m.bridges {
		if b.direct == nil || id == n.ID || b.direct.parent != d.parent {
			continue
		}
		alone := d.kind == "macvlan" && (d.mode == passthru || b.direct.mode == passthru)
		if b.direct.kind != d.kind || alone || d.kind == "ipvlan" && b.direct.mode != d.mode {
			return errs.New(errs.Conflict, "network %s: the %s network %s is already using parent interface %s in another way; choose another parent", n.Name, b.direct.kind, id[:12], d.parent)
		}
	}
	return nil
}

// plugDirect makes the container's interface on the parent, straight in its
// namespace. It is born with a name of ours, since one like eth0 may be taken
// on the host.
func (m *Manager) plugDirect(netns *os.File, inside *rtnl.Conn, b *bridge, ep Endpoint) error {
	parent, err := m.rt.Link(b.direct.parent)
	if err != nil {
		return errs.New(errs.Unavailable, "the parent interface %s of the container's network is not there: %w", b.direct.parent, err)
	}
	m.mu.Lock()
	born := m.cableName()
	m.mu.Unlock()
	d := rtnl.Direct{Kind: b.direct.kind, Name: born, Parent: parent.Index, Mode: b.direct.mode, Flags: b.direct.flag, MTU: b.direct.mtu, MAC: ep.MAC, NS: int(netns.Fd())}
	switch err := m.rt.Do(d.Message()); {
	case errors.Is(err, syscall.EOPNOTSUPP):
		return errs.New(errs.Unsupported, "this kernel has no %s interfaces (modprobe %s)", b.direct.kind, b.direct.kind)
	case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EINVAL):
		return errs.New(errs.Conflict, "interface %s cannot carry a %s: it is part of a bridge, or of another kind of network: %w", b.direct.parent, b.direct.kind, err)
	case err != nil:
		return fmt.Errorf("making a %s of %s: %w", b.direct.kind, b.direct.parent, err)
	}
	l, err := inside.Link(born)
	if err == nil {
		if err = inside.Do(rtnl.Rename(l.Index, ep.IfName)); err != nil {
			_ = inside.Do(rtnl.Delete(born))
		}
	}
	if errors.Is(err, syscall.EEXIST) {
		return errs.New(errs.Conflict, "the container has an interface %s already", ep.IfName)
	}
	return err
}

// Pull takes an endpoint's interface out of a namespace that lives on. For a
// bridge Detach does that; a direct network has nothing on the host to pull.
func (m *Manager) Pull(_ context.Context, netns *os.File, ep Endpoint) error {
	b, err := m.bridgeOf(ep.NetworkID)
	if err != nil || b.direct == nil {
		return err
	}
	inside, err := rtnl.DialIn(netns, m.home)
	if err != nil {
		return err
	}
	defer func() { _ = inside.Close() }()
	index, err := indexOf(inside, ep.IP.Addr())
	if err != nil {
		return err
	}
	return inside.Do(rtnl.DeleteIndex(index))
}

// indexOf finds the interface with an address.
func indexOf(inside *rtnl.Conn, ip netip.Addr) (int32, error) {
	addresses, err := inside.Addresses(unix.AF_INET)
	if err != nil {
		return 0, fmt.Errorf("listing the container's addresses: %w", err)
	}
	for _, a := range addresses {
		if a.Prefix.Addr() == ip {
			return a.Index, nil
		}
	}
	return 0, errs.New(errs.NotFound, "the container has no address %s", ip)
}

package network

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"lus/internal/base/errs"
	"lus/internal/linux/firewall"
	"lus/internal/linux/network/internal/rtnl"
	"lus/internal/model/container"
	model "lus/internal/model/network"
)

// Running is a container that runs, as its records tell.
type Running struct {
	ContainerID string
	Endpoints   []Endpoint
	// Ports is what Publish answered, and Ways what it was called with.
	Ports container.PortMap
	Ways  Ways
	// Asked is what Publish was called with.
	Asked []container.PublishedPort
}

// Reconcile brings a new Manager in line with the kernel and the records after
// the former one died: networks that are to be exist, the running keep cables,
// addresses and ports untouched, and what belonged to the dead goes away. A
// subnet that Lus chose, and somebody else took meanwhile, is chosen anew.
func (m *Manager) Reconcile(ctx context.Context, nets []*model.Network, running []Running) error {
	failed := []error{m.fw.takeSix()}
	for _, n := range nets {
		err := m.again(ctx, n, running)
		failed = append(failed, err)
		m.mu.Lock()
		m.missing[n.ID] = err
		m.mu.Unlock()
	}
	for _, r := range running {
		m.adoptAddresses(r)
	}
	failed = append(failed,
		m.adoptCables(nets, running),
		m.adoptPorts(ctx, running),
		m.dropStrangers(nets))
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return m.Settle(ctx)
}

// again makes a network that was there.
func (m *Manager) again(ctx context.Context, n *model.Network, running []Running) error {
	if isDirect(n) {
		return m.ensureDirect(ctx, n, true)
	}
	if !isBridge(n) {
		return nil
	}
	err := m.Ensure(ctx, n)
	if errs.Is(err, errs.Conflict) && (n.SubnetChosen || n.Subnet6Chosen || n.Name == model.Bridge) && m.lies(n, running) {
		err = m.moved(ctx, n)
	}
	return err
}

// lies tells whether a network has neither a bridge nor anybody on it.
func (m *Manager) lies(n *model.Network, running []Running) bool {
	for _, r := range running {
		if slices.ContainsFunc(r.Endpoints, func(ep Endpoint) bool { return ep.NetworkID == n.ID }) {
			return false
		}
	}
	links, err := m.rt.Links()
	return err == nil && !slices.ContainsFunc(links, func(l rtnl.Link) bool { return l.Alias == m.bridgeAlias(n.ID) })
}

// moved makes a network with another subnet than it had.
func (m *Manager) moved(ctx context.Context, n *model.Network) error {
	had := n.IPAM.Config
	n.SubnetChosen = n.SubnetChosen || n.Name == model.Bridge
	n.IPAM.Config = n.AskedPools()
	err := m.Ensure(ctx, n)
	if err != nil {
		n.IPAM.Config = had
	}
	return err
}

func (m *Manager) adoptAddresses(r Running) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ep := range r.Endpoints {
		if b := m.bridges[ep.NetworkID]; b != nil && ep.IP.IsValid() {
			b.pool.owner[ep.IP.Addr()] = r.ContainerID
			b.pool.last = ep.IP.Addr()
			if b.pool6 != nil && ep.IP6.IsValid() {
				b.pool6.owner[ep.IP6.Addr()] = r.ContainerID
				b.pool6.last = ep.IP6.Addr()
			}
		}
	}
}

// adoptCables keeps the cables of the running and removes all others of this
// instance, and bridges of networks that are no more.
func (m *Manager) adoptCables(nets []*model.Network, running []Running) error {
	links, err := m.rt.Links()
	if err != nil {
		return err
	}
	alive := map[cable]bool{}
	for _, r := range running {
		for _, ep := range r.Endpoints {
			alive[cable{ep.NetworkID, r.ContainerID}] = true
		}
	}
	// Those too that could not be taken up now: somebody may run on them.
	known := map[string]bool{}
	for _, n := range nets {
		known[m.bridgeAlias(n.ID)] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range links {
		switch {
		case l.Kind == "veth" && strings.HasPrefix(l.Name, m.cablePrefix()):
			key, ok := parseCableAlias(l.Alias)
			if ok && alive[key] {
				m.cables[key] = l.Name
			} else {
				m.work.add(job{cable: l.Name})
			}
		case strings.HasPrefix(l.Alias, m.bridgeAlias("")) && !known[l.Alias], l.Name == m.halfMade():
			if err := m.rt.Do(rtnl.Delete(l.Name)); err != nil && !errors.Is(err, syscall.ENODEV) {
				return err
			}
		}
	}
	return nil
}

// waiting are the networks that could not be taken up and have a bridge, as far
// as the rules go.
func (m *Manager) waiting(nets []*model.Network) (v4, v6 []firewall.Network, err error) {
	links, err := m.rt.Links()
	if err != nil {
		return nil, nil, err
	}
	for _, n := range nets {
		m.mu.Lock()
		taken := m.bridges[n.ID] != nil
		m.mu.Unlock()
		at := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Alias == m.bridgeAlias(n.ID) })
		if taken || at < 0 {
			continue
		}
		for _, c := range n.IPAM.Config {
			subnet, err := netip.ParsePrefix(c.Subnet)
			switch {
			case err != nil: // of no network that ever was
			case subnet.Addr().Is6():
				v6 = append(v6, firewall.Network{Bridge: links[at].Name, Subnet: subnet})
			default:
				v4 = append(v4, firewall.Network{Bridge: links[at].Name, Subnet: subnet})
			}
		}
	}
	return v4, v6, nil
}

// dropStrangers takes bridges that are gone out of the rules.
func (m *Manager) dropStrangers(nets []*model.Network) error {
	known, known6, err := m.waiting(nets)
	if err != nil {
		return err
	}
	m.mu.Lock()
	for _, b := range m.bridges {
		if b.direct != nil {
			continue
		}
		known = append(known, firewall.Network{Bridge: b.name, Subnet: b.pool.subnet})
		if b.pool6 != nil {
			known6 = append(known6, firewall.Network{Bridge: b.name, Subnet: b.pool6.subnet})
		}
	}
	m.mu.Unlock()
	m.foreignMu.Lock()
	defer m.foreignMu.Unlock()
	for _, name := range m.fw.bridges() {
		if !slices.ContainsFunc(known, func(n firewall.Network) bool { return n.Bridge == name }) {
			m.forgetForeign(name)
		}
	}
	err = m.fw.v4.Retain(known)
	if v6 := m.fw.six(); v6 != nil {
		err = errors.Join(err, v6.Retain(known6))
	}
	return err
}

// Teardown removes everything of this instance from the kernel: cables,
// bridges, rules, held ports, and the forwarding it switched on.
func (m *Manager) Teardown(ctx context.Context) error {
	var failed []error
	failed = append(failed, m.Settle(ctx))
	m.mu.Lock()
	var published []string
	for h := range m.ports {
		published = append(published, h.container)
	}
	for _, members := range m.shared {
		for _, o := range members {
			published = append(published, o.container)
		}
	}
	clear(m.cables)
	m.mu.Unlock()
	for _, id := range published {
		failed = append(failed, m.Unpublish(ctx, id))
	}
	links, err := m.rt.Links()
	failed = append(failed, err)
	var cables []string
	for _, l := range links {
		if l.Kind == "veth" && strings.HasPrefix(l.Name, m.cablePrefix()) {
			cables = append(cables, l.Name)
		}
	}
	m.deleteCables(cables)
	for _, l := range links {
		if strings.HasPrefix(l.Alias, m.bridgeAlias("")) {
			failed = append(failed, m.removeBridge(l.Name, netip.Prefix{}, netip.Prefix{}))
		}
	}
	m.mu.Lock()
	clear(m.bridges)
	m.mu.Unlock()
	// Nobody may look at the uplinks in between: that would make the table anew.
	m.upMu.Lock()
	defer m.upMu.Unlock()
	m.restoreForwarding()
	failed = append(failed, m.fw.Delete())
	return errors.Join(failed...)
}

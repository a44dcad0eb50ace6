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

	"lus/internal/base/errs"
	"lus/internal/linux/network/internal/rtnl"
)

// Attach gives the namespace an interface for each endpoint: a cable to the
// network's bridge, the address, and the default route where asked. All or
// nothing. Bringing up the namespace's loopback is the init's part.
func (m *Manager) Attach(_ context.Context, netns *os.File, eps ...Endpoint) error {
	m.work.touch()
	var made []Endpoint
	err := m.attachAll(netns, eps, &made)
	if err != nil {
		for _, ep := range made {
			_ = m.Detach(context.Background(), ep.NetworkID, ep.ContainerID)
		}
	}
	return err
}

func (m *Manager) attachAll(netns *os.File, eps []Endpoint, made *[]Endpoint) error {
	if len(eps) == 0 {
		return nil
	}
	inside, err := rtnl.DialIn(netns, m.home)
	if err != nil {
		return err
	}
	defer func() { _ = inside.Close() }()
	for _, ep := range eps {
		b, err := m.bridgeOf(ep.NetworkID)
		if err != nil {
			return err
		}
		if ep.IfName == "" {
			if ep.IfName, err = freeName(inside); err != nil {
				return err
			}
		}
		if b.direct != nil {
			if err := m.plugDirect(netns, inside, b, ep); err != nil {
				return err
			}
			if err := m.configure(netns, inside, b, ep); err != nil {
				_ = inside.Do(rtnl.Delete(ep.IfName))
				return err
			}
			continue
		}
		if err := m.plug(netns, b, ep); err != nil {
			return err
		}
		*made = append(*made, ep)
		if err := m.configure(netns, inside, b, ep); err != nil {
			return err
		}
		m.mu.Lock()
		name := m.cables[cable{ep.NetworkID, ep.ContainerID}]
		m.mu.Unlock()
		if err := m.sync.Sync(name); err != nil {
			m.log.Debug("the kernel will see the carrier in its own time", "interface", name, "err", err)
		}
	}
	return nil
}

// freeName is the first name that no interface in the namespace has.
func freeName(inside *rtnl.Conn) (string, error) {
	links, err := inside.Links()
	if err != nil {
		return "", fmt.Errorf("listing the container's interfaces: %w", err)
	}
	for i := 0; ; i++ {
		name := "eth" + strconv.Itoa(i)
		if !slices.ContainsFunc(links, func(l rtnl.Link) bool { return l.Name == name }) {
			return name, nil
		}
	}
}

// Route makes an endpoint that is attached the one that the default routes of
// the namespace lead to, those that it says.
func (m *Manager) Route(_ context.Context, netns *os.File, ep Endpoint) error {
	b, err := m.bridgeOf(ep.NetworkID)
	if err != nil {
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
	return inside.Do(b.defaultRoutes(index, ep)...)
}

// defaultRoutes are those that an endpoint is to have.
func (b *bridge) defaultRoutes(index int32, ep Endpoint) []*rtnl.Message {
	var out []*rtnl.Message
	if ep.Default && ep.Gateway.IsValid() {
		out = append(out, b.defaultRoute(index, ep.Gateway))
	}
	if ep.Default6 && ep.Gateway6.IsValid() {
		out = append(out, b.defaultRoute(index, ep.Gateway6))
	}
	return out
}

// defaultRoute leads to the gateway, where the network has one to go by.
func (b *bridge) defaultRoute(index int32, gateway netip.Addr) *rtnl.Message {
	if b.direct != nil && b.direct.routed {
		return rtnl.LinkRoute(index, gateway)
	}
	return rtnl.DefaultRoute(index, gateway)
}

// plug makes the cable.
func (m *Manager) plug(netns *os.File, b *bridge, ep Endpoint) error {
	key := cable{ep.NetworkID, ep.ContainerID}
	for try := 0; ; try++ {
		name, err := m.claim(key)
		if err != nil {
			return err
		}
		v := rtnl.Veth{Name: name, Bridge: b.index, MTU: b.mtu, Peer: ep.IfName, PeerMAC: ep.MAC,
			PeerNS: int(netns.Fd()), Alias: m.cableAlias(key), Isolated: !b.talk}
		err = m.rt.Do(v.Messages()...)
		if err == nil {
			return nil
		}
		m.mu.Lock()
		delete(m.cables, key)
		m.mu.Unlock()
		var ne *rtnl.Error
		if errors.As(err, &ne) && ne.Index == 0 && errors.Is(err, syscall.EEXIST) && try < 8 {
			continue // the name is that of a cable from before a crash; the next one may be free
		}
		_ = m.rt.Do(rtnl.Delete(name))
		return attachError(b, ep, err)
	}
}

// attachError tells what the kernel's errno means here.
func attachError(b *bridge, ep Endpoint, err error) error {
	switch {
	case errors.Is(err, syscall.EXFULL), errors.Is(err, syscall.ENOSPC):
		return errs.New(errs.Unavailable, "bridge %s has no free port: the kernel allows 1,023 containers on one network; use another network", b.name)
	case errors.Is(err, syscall.EEXIST):
		return errs.New(errs.Conflict, "the container has an interface %s already", ep.IfName)
	}
	return fmt.Errorf("connecting the container to bridge %s: %w", b.name, err)
}

// claim notes a name for the host's end of a new cable.
func (m *Manager) claim(key cable) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.cables[key]; ok {
		return "", errs.New(errs.Conflict, "container %s is connected to network %s already", m.who(key.container), key.network[:min(12, len(key.network))])
	}
	name := m.cableName()
	m.cables[key] = name
	return name, nil
}

// cableName counts in base 32: "lv", the instance, seven digits.
func (m *Manager) cableName() string {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	if m.serial == 0 {
		m.serial = randomStart()
	}
	m.serial++
	var b [7]byte
	for i, n := len(b)-1, m.serial; i >= 0; i, n = i-1, n>>5 {
		b[i] = digits[n&31]
	}
	return m.cablePrefix() + string(b[:])
}

func (m *Manager) cablePrefix() string { return "lv" + m.cfg.Instance }

// cableAlias tells a later daemon whose cable it is.
func (m *Manager) cableAlias(c cable) string { return "lus:" + c.network + ":" + c.container }

func parseCableAlias(s string) (cable, bool) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 || parts[0] != "lus" {
		return cable{}, false
	}
	return cable{parts[1], parts[2]}, true
}

// configure sets the container's end up, in one system call once its index is known.
func (m *Manager) configure(netns *os.File, inside *rtnl.Conn, b *bridge, ep Endpoint) error {
	l, err := inside.Link(ep.IfName)
	if err != nil {
		return fmt.Errorf("looking up %s in the container: %w", ep.IfName, err)
	}
	msgs := []*rtnl.Message{rtnl.Up(l.Index, m.hasIPv6(l.MTU)), rtnl.AddAddress(l.Index, ep.IP)}
	if ep.IP6.IsValid() {
		if !m.hasIPv6(l.MTU) {
			return errs.New(errs.Unavailable, "the container's interface %s takes packets of %d bytes, and IPv6 needs %d", ep.IfName, l.MTU, leastMTU6)
		}
		if err := m.prepare6(netns, ep.IfName); err != nil {
			return err
		}
		msgs = append(msgs, addresses6(l.Index, ep)...)
	}
	msgs = append(msgs, b.defaultRoutes(l.Index, ep)...)
	if err := inside.Do(msgs...); err != nil {
		return fmt.Errorf("configuring %s in the container: %w", ep.IfName, err)
	}
	return nil
}

// Detach unplugs the container from the network. The cable itself is removed a
// little later (Settle waits for it); where the namespace has died, the kernel
// has done so. What is not there is no error.
func (m *Manager) Detach(_ context.Context, networkID, containerID string) error {
	key := cable{networkID, containerID}
	m.mu.Lock()
	name, ok := m.cables[key]
	delete(m.cables, key)
	m.mu.Unlock()
	if ok {
		m.work.add(job{cable: name})
	}
	return nil
}

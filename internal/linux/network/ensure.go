package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/firewall"
	"lus/internal/linux/network/internal/rtnl"
	model "lus/internal/model/network"
)

// The options of a network that this package knows, as Docker names them.
const (
	optName       = "com.docker.network.bridge.name"
	optICC        = "com.docker.network.bridge.enable_icc"
	optMasquerade = "com.docker.network.bridge.enable_ip_masquerade"
	optMTU        = "com.docker.network.driver.mtu"
	optHostIP     = "com.docker.network.bridge.host_binding_ipv4"
	optDefault    = "com.docker.network.bridge.default_bridge" // tells, and asks for nothing
)

// CheckOptions refuses an option of Docker's that this package does not carry
// out: what is ignored would be missed later.
func CheckOptions(n *model.Network) error {
	known := []string{optName, optICC, optMasquerade, optMTU, optHostIP, optDefault}
	if isDirect(n) {
		known = []string{optMTU}
	}
	for key := range n.Options {
		if strings.HasPrefix(key, "com.docker.network.") && !slices.Contains(known, key) {
			return errs.New(errs.Unsupported, "network %s: the option %s is not supported for the driver %s: leave it out", n.Name, key, n.Driver)
		}
	}
	return nil
}

// options are a network's options, read.
type options struct {
	name       string
	talk       bool
	masquerade bool
	mtu        uint32     // 0: that of the way out
	hostIP     netip.Addr // where ports are published that name no address
}

func readOptions(n *model.Network) (options, error) {
	o := options{name: n.Options[optName], talk: true, masquerade: true}
	for key, to := range map[string]*bool{optICC: &o.talk, optMasquerade: &o.masquerade} {
		if s, ok := n.Options[key]; ok {
			v, err := strconv.ParseBool(s)
			if err != nil {
				return o, errs.New(errs.Invalid, "network %s: option %s must be true or false, not %q", n.Name, key, s)
			}
			*to = v
		}
	}
	if s, ok := n.Options[optMTU]; ok {
		v, err := strconv.ParseUint(s, 10, 32)
		if err != nil || v < 68 || v > 65535 {
			return o, errs.New(errs.Invalid, "network %s: option %s must be a number from 68 to 65535, not %q", n.Name, optMTU, s)
		}
		if o.mtu = uint32(v); n.EnableIPv6 && o.mtu < leastMTU6 {
			return o, errs.New(errs.Invalid, "network %s: IPv6 needs packets of %d bytes at least, and option %s says %s", n.Name, leastMTU6, optMTU, s)
		}
	}
	if s, ok := n.Options[optHostIP]; ok {
		ip, err := netip.ParseAddr(s)
		if err != nil || !ip.Is4() {
			return o, errs.New(errs.Invalid, "network %s: option %s must be an IPv4 address, not %q", n.Name, optHostIP, s)
		}
		o.hostIP = ip
	}
	if len(o.name) >= unix.IFNAMSIZ || strings.ContainsAny(o.name, "/: \t\n\x00%") || o.name == "." || o.name == ".." {
		return o, errs.New(errs.Invalid, "network %s: %q is no name for an interface (at most 15 characters, no slash or space)", n.Name, o.name)
	}
	return o, nil
}

// Ensure makes the network's bridge with its address, settings and rules, or
// finds them made. Where n names no subnet it chooses a free one and writes it
// into n.IPAM.Config.
func (m *Manager) Ensure(ctx context.Context, n *model.Network) error {
	if isDirect(n) {
		return m.ensureDirect(ctx, n, false)
	}
	if !isBridge(n) {
		return errs.New(errs.Unsupported, "network driver %q: this host makes bridge, macvlan and ipvlan networks", n.Driver)
	}
	o, err := readOptions(n)
	if err != nil {
		return err
	}
	if len(n.ID) < 12 {
		return errs.New(errs.Invalid, "network %s has no id", n.Name)
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
	b, created, err := m.bridge(n, o, p, p6)
	if err != nil {
		return fmt.Errorf("setting up network %s: %w", n.Name, err)
	}
	if err := m.furnish(b, n, o); err != nil {
		if created {
			_ = m.rt.Do(rtnl.Delete(b.name))
			_ = m.fw.removeNetwork(b.name, p.subnet, subnetOf(p6))
		}
		return fmt.Errorf("setting up network %s: %w", n.Name, err)
	}
	m.mu.Lock()
	if old := m.bridges[n.ID]; old != nil {
		b.pool = old.pool // addresses in use stay so
		if b.pool6 != nil && old.pool6 != nil {
			b.pool6 = old.pool6
		}
	}
	m.bridges[n.ID] = b
	m.mu.Unlock()
	m.config(n, p, p6)
	m.refreshUplinks()
	m.checkForeign(b.name)
	return nil
}

// furnish gives the bridge everything but its existence.
func (m *Manager) furnish(b *bridge, n *model.Network, o options) error {
	// The rules first: nothing comes through an interface they do not know.
	rules := firewall.Network{Bridge: b.name, Subnet: b.pool.subnet, Internal: n.Internal, Masquerade: o.masquerade, Talk: o.talk}
	if err := m.fw.v4.SetNetwork(rules); err != nil {
		return err
	}
	conf := filepath.Join("/proc/sys/net/ipv4/conf", b.name)
	for name, value := range map[string]string{"route_localnet": "1", "forwarding": "1"} {
		if err := m.sysctl(filepath.Join(conf, name), value); err != nil {
			return err
		}
	}
	err := m.rt.Do(
		rtnl.Configure(b.name, m.bridgeAlias(n.ID), macOf(b.gateway.Addr()), m.hasIPv6(b.mtu)),
		rtnl.AddAddress(b.index, b.gateway))
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("configuring bridge %s: %w", b.name, err)
	}
	if b.pool6 == nil {
		return nil
	}
	rules.Subnet = b.pool6.subnet
	return m.furnish6(b, rules)
}

// sysctl writes a setting of the Manager's namespace: /proc/sys/net shows that
// of the thread that opens it.
func (m *Manager) sysctl(path, value string) error {
	if old, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(old)) == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("setting %s: %w", path, err)
	}
	return nil
}

// outwardMTU is the smallest of the interfaces with a default route, so that a
// container's packets fit where they go; 1500 at most.
func (m *Manager) outwardMTU(links []rtnl.Link) uint32 {
	mtu := uint32(1500)
	routes, err := m.rt.Routes(unix.AF_INET)
	if err != nil {
		return mtu
	}
	for _, r := range routes {
		for _, l := range links {
			if r.Dst.Bits() == 0 && r.OIF == l.Index && l.MTU >= 576 {
				mtu = min(mtu, l.MTU)
			}
		}
	}
	return mtu
}

// macOf derives the hardware address from the IP address, so that whoever
// cached the one for the other stays right when the address is given again.
func macOf(ip netip.Addr) net.HardwareAddr {
	b := ip.As4()
	return net.HardwareAddr{0x02, 0x42, b[0], b[1], b[2], b[3]}
}

// Remove takes the network's bridge and rules away. Removing what is not there
// is no error.
func (m *Manager) Remove(ctx context.Context, n *model.Network) error {
	if !isBridge(n) && !isDirect(n) {
		return nil
	}
	if err := m.work.settle(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	b := m.bridges[n.ID]
	for c := range m.cables {
		if c.network == n.ID {
			m.mu.Unlock()
			return errs.New(errs.Conflict, "network %s is in use by container %s: disconnect it first", n.Name, m.who(c.container))
		}
	}
	delete(m.bridges, n.ID)
	m.mu.Unlock()
	if b != nil && b.direct != nil {
		return m.removeParent(b.direct)
	}
	if b != nil {
		return m.removeBridge(b.name, b.pool.subnet, subnetOf(b.pool6))
	}
	l, ok, err := m.findBridge(n.ID)
	if err != nil || !ok {
		return err
	}
	v4, v6, _ := poolsOf(n)
	subnet, _ := netip.ParsePrefix(v4.Subnet) // else Reconcile finds it
	subnet6, _ := netip.ParsePrefix(v6.Subnet)
	return m.removeBridge(l.Name, subnet, subnet6)
}

// removeParent takes away a parent that was made for a direct network.
func (m *Manager) removeParent(d *direct) error {
	if !d.made {
		return nil
	}
	if err := m.slow.Do(rtnl.Delete(d.parent)); err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("removing interface %s: %w", d.parent, err)
	}
	return nil
}

func (m *Manager) removeBridge(name string, subnet, subnet6 netip.Prefix) error {
	if err := m.slow.Do(rtnl.Delete(name)); err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("removing bridge %s: %w", name, err)
	}
	m.foreignMu.Lock()
	defer m.foreignMu.Unlock()
	m.forgetForeign(name)
	return m.fw.removeNetwork(name, subnet, subnet6)
}

func (m *Manager) findBridge(networkID string) (rtnl.Link, bool, error) {
	links, err := m.rt.Links()
	for _, l := range links {
		if l.Alias == m.bridgeAlias(networkID) {
			return l, true, nil
		}
	}
	return rtnl.Link{}, false, err
}

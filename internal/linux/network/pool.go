package network

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	model "lus/internal/model/network"
)

// subnetBits is the size of a subnet chosen by us: 1,021 containers. A bridge
// takes 1,023 ports, so a larger one would promise what it cannot keep.
const subnetBits = 22

// pool is the addresses of one network.
type pool struct {
	subnet  netip.Prefix
	within  netip.Prefix // where addresses are chosen; the subnet or a part of it
	gateway netip.Addr
	aux     map[netip.Addr]bool
	owner   map[netip.Addr]string // container id
	leaving map[netip.Addr]bool   // released, but the kernel still knows it
	last    netip.Addr            // given last; the next is sought after it
}

// lockPools takes the lock under which the instances of this host choose subnets.
func (m *Manager) lockPools(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(m.cfg.LockDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the address pools' lock: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(m.cfg.LockDir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the address pools' lock: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			_ = f.Close()
			return nil, fmt.Errorf("locking the address pools: %w", err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// plan reads the network's addresses, or chooses them.
func (m *Manager) plan(n *model.Network) (v4, v6 *pool, err error) {
	cfg, cfg6, err := poolsOf(n)
	if err != nil {
		return nil, nil, err
	}
	if v4, err = m.planOne(n, cfg, unix.AF_INET, m.choose); err != nil || !n.EnableIPv6 {
		return v4, nil, err
	}
	if err := m.speaksIPv6(n.Name); err != nil {
		return nil, nil, err
	}
	v6, err = m.planOne(n, cfg6, unix.AF_INET6, m.choose6)
	return v4, v6, err
}

// poolsOf tells the network's subnets apart, of which there is one for each
// version of IP at most.
func poolsOf(n *model.Network) (v4, v6 model.Pool, err error) {
	var seen, seen6 bool
	for _, c := range n.IPAM.Config {
		six := c.IsIPv6()
		switch {
		case six && !n.EnableIPv6:
			return v4, v6, errs.New(errs.Invalid, "network %s: %s is a subnet of IPv6: add --ipv6, or leave it out", n.Name, c.Subnet)
		case six && seen6 || !six && seen:
			return v4, v6, errs.New(errs.Denied, "%s driver doesn't support multiple subnets", n.Driver)
		case six:
			v6, seen6 = c, true
		default:
			v4, seen = c, true
		}
	}
	return v4, v6, nil
}

// CheckPools refuses subnets, ranges and addresses that no network could have.
// Whether they are free is not looked at.
func CheckPools(n *model.Network) error {
	v4, v6, err := poolsOf(n)
	if err != nil {
		return err
	}
	for _, c := range []model.Pool{v4, v6} {
		if c.Subnet == "" {
			err = needsSubnet(n.Name, c)
		} else {
			_, err = readPool(n.Name, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// needsSubnet refuses what lies in a subnet where none is named.
func needsSubnet(name string, c model.Pool) error {
	if c.IPRange != "" || c.Gateway != "" || len(c.Aux) > 0 {
		return errs.New(errs.Invalid, "network %s: an address range or gateway needs a subnet", name)
	}
	return nil
}

// planOne reads or chooses the addresses of one version of IP.
func (m *Manager) planOne(n *model.Network, cfg model.Pool, family uint8, choose func([]inUse) (netip.Prefix, error)) (*pool, error) {
	used, there, err := m.usedSubnets(n.ID, family)
	if err != nil {
		return nil, err
	}
	if isDirect(n) && cfg.Subnet != "" {
		// That the host has addresses there is the rule and not a clash.
		used = slices.DeleteFunc(used, func(u inUse) bool { return !strings.HasPrefix(u.by, "network ") })
	}
	if cfg.Subnet == "" {
		if err := needsSubnet(n.Name, cfg); err != nil {
			return nil, err
		}
		subnet, err := choose(used)
		if err != nil {
			return nil, err
		}
		return newPool(subnet), nil
	}
	p, err := readPool(n.Name, cfg)
	if err != nil {
		return nil, err
	}
	for _, u := range used {
		// What came later does not take the subnet from a network that is in force.
		if !there && u.net.Overlaps(p.subnet) {
			return nil, errs.New(errs.Conflict, "Pool overlaps with other one on this address space: %s is in use by %s (%s); choose another subnet", p.subnet, u.by, u.net)
		}
	}
	return p, nil
}

// subnetOf is a pool's subnet; the zero Prefix where there is none.
func subnetOf(p *pool) netip.Prefix {
	if p == nil {
		return netip.Prefix{}
	}
	return p.subnet
}

func newPool(subnet netip.Prefix) *pool {
	return &pool{subnet: subnet, within: subnet, gateway: subnet.Addr().Next(),
		aux: map[netip.Addr]bool{}, owner: map[netip.Addr]string{}, leaving: map[netip.Addr]bool{}}
}

func readPool(name string, c model.Pool) (*pool, error) {
	subnet, err := netip.ParsePrefix(c.Subnet)
	switch {
	case err != nil:
		return nil, errs.New(errs.Invalid, "network %s: invalid subnet %q: write a network such as 10.5.0.0/24 or fd00:5::/64", name, c.Subnet)
	case subnet.Addr().Is4() && (subnet.Bits() < 8 || subnet.Bits() > 30):
		return nil, errs.New(errs.Invalid, "network %s: subnet %s must be from /8 to /30", name, subnet)
	case subnet.Addr().Is6():
		if err := checkSubnet6(name, subnet); err != nil {
			return nil, err
		}
	}
	p := newPool(subnet.Masked())
	if c.IPRange != "" {
		if p.within, err = netip.ParsePrefix(c.IPRange); err != nil || !p.subnet.Contains(p.within.Addr()) || p.within.Bits() < p.subnet.Bits() {
			return nil, errs.New(errs.Invalid, "network %s: address range %q does not lie in subnet %s", name, c.IPRange, p.subnet)
		}
		p.within = p.within.Masked()
	}
	inside := func(what, s string) (netip.Addr, error) {
		ip, err := netip.ParseAddr(s)
		if err != nil || !p.host(ip) {
			return ip, errs.New(errs.Invalid, "network %s: %s %q is no address in subnet %s", name, what, s, p.subnet)
		}
		return ip, nil
	}
	if c.Gateway != "" {
		if p.gateway, err = inside("gateway", c.Gateway); err != nil {
			return nil, err
		}
	}
	for _, s := range c.Aux {
		ip, err := inside("auxiliary address", s)
		if err != nil {
			return nil, err
		}
		p.aux[ip] = true
	}
	return p, nil
}

// host reports whether ip may be given to a host of the subnet: neither its
// network nor its broadcast address, which IPv6 does not have.
func (p *pool) host(ip netip.Addr) bool {
	return p.subnet.Contains(ip) && ip != p.subnet.Addr() && (ip.Is6() || ip != lastOf(p.subnet))
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		host := max(0, min(8, 8*(i+1)-p.Bits())) // bits of this byte that are the host's
		b[i] |= byte(1<<host - 1)
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

// config writes the subnets and gateways in force back.
func (m *Manager) config(n *model.Network, pools ...*pool) {
	v4, v6, err := poolsOf(n)
	if err != nil {
		return // plan has read them
	}
	out := make([]model.Pool, 0, len(pools))
	for i, c := range []model.Pool{v4, v6} {
		if p := pools[i]; p != nil {
			c.Subnet, c.Gateway = p.subnet.String(), p.gateway.String()
			out = append(out, c)
		}
	}
	n.IPAM.Config = out
}

// takeable says why the address cannot be had by the container, or nil.
func (p *pool) takeable(ip netip.Addr, containerID string, who func(string) string) error {
	switch {
	case !p.host(ip):
		return errs.New(errs.Invalid, "address %s does not belong to the network's subnet %s", ip, p.subnet)
	case ip == p.gateway:
		return errs.New(errs.Conflict, "Address already in use: %s is the network's gateway", ip)
	case p.aux[ip]:
		return errs.New(errs.Conflict, "Address already in use: %s is set aside as an auxiliary address", ip)
	case p.owner[ip] != "" && p.owner[ip] != containerID:
		return errs.New(errs.Conflict, "Address already in use: %s belongs to container %s", ip, who(p.owner[ip]))
	}
	return nil
}

// next finds a free address after the one given last, so that an address rests
// as long as it can before another container gets it. waiting tells that one
// is only being cleaned up.
func (p *pool) next() (ip netip.Addr, waiting bool, ok bool) {
	start := p.last
	if !start.IsValid() || !p.within.Contains(start) {
		start = p.within.Addr().Prev()
	}
	first := p.within.Addr()
	// One more than cannot be had, of those that differ.
	tries := len(p.owner) + len(p.leaving) + len(p.aux) + 4
	if bits := p.within.Addr().BitLen() - p.within.Bits(); bits < 31 {
		tries = min(tries, 1<<bits)
	}
	for ip = start.Next(); tries > 0; tries, ip = tries-1, ip.Next() {
		if !ip.IsValid() || !p.within.Contains(ip) {
			ip = first
		}
		if p.leaving[ip] {
			waiting = true
			continue
		}
		if p.host(ip) && ip != p.gateway && !p.aux[ip] && p.owner[ip] == "" {
			return ip, false, true
		}
	}
	return netip.Addr{}, waiting, false
}

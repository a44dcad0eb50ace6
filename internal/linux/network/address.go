package network

import (
	"context"
	"errors"
	"net/netip"

	"lus/internal/base/errs"
)

// Wanted is which addresses a container asks for; the zero Addr: any.
type Wanted struct {
	IP, IP6 netip.Addr
	NoIPv6  bool // none of IPv6, whatever the network has
}

// Reserve gives the container its addresses on the network, those wanted or
// free ones. Asking again gives the same.
func (m *Manager) Reserve(ctx context.Context, networkID, containerID string, want Wanted) (Address, error) {
	b, err := m.bridgeOf(networkID)
	if err != nil {
		return Address{}, err
	}
	ip, err := m.reserveOne(ctx, b.pool, containerID, want.IP)
	if err != nil {
		return Address{}, err
	}
	var ip6 netip.Addr
	switch {
	case b.pool6 != nil && !want.NoIPv6:
		if ip6, err = m.reserveOne(ctx, b.pool6, containerID, want.IP6); err != nil {
			return Address{}, errors.Join(err, m.Release(ctx, networkID, containerID))
		}
	case want.IP6.IsValid():
		return Address{}, errors.Join(errs.New(errs.Invalid, "the container cannot have address %s: it has no IPv6 on that network", want.IP6), m.Release(ctx, networkID, containerID))
	}
	return b.address(ip, ip6), nil
}

func (m *Manager) reserveOne(ctx context.Context, p *pool, containerID string, want netip.Addr) (netip.Addr, error) {
	// An address that is being cleaned up is worth the wait, once or twice.
	for try := 0; ; try++ {
		ip, waiting, err := m.reserve(p, containerID, want)
		if err == nil || !waiting || try == 3 {
			return ip, err
		}
		if err := m.work.settle(ctx); err != nil {
			return ip, err
		}
	}
}

func (m *Manager) reserve(p *pool, containerID string, want netip.Addr) (ip netip.Addr, waiting bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for have, owner := range p.owner {
		if owner == containerID && (!want.IsValid() || have == want) {
			return have, false, nil
		}
	}
	ip = want
	if want.IsValid() {
		err = p.takeable(want, containerID, m.who)
		waiting = err == nil && p.leaving[want]
	} else {
		var ok bool
		if ip, waiting, ok = p.next(); !ok {
			err = errs.New(errs.Unavailable, "no available %s addresses on this network's address pools: all of %s are in use", p.version(), p.within)
		}
	}
	if err == nil && waiting {
		err = errs.New(errs.Conflict, "Address already in use: %s is still being released", want)
	}
	if err != nil {
		return ip, waiting, err
	}
	p.owner[ip] = containerID
	if !want.IsValid() {
		p.last = ip
	}
	return ip, false, nil
}

// version is that of IP, for people.
func (p *pool) version() string {
	if p.subnet.Addr().Is6() {
		return "IPv6"
	}
	return "IPv4"
}

func (b *bridge) address(ip, ip6 netip.Addr) Address {
	a := Address{IP: netip.PrefixFrom(ip, b.pool.subnet.Bits())}
	if ip6.IsValid() {
		a.IP6 = netip.PrefixFrom(ip6, b.pool6.subnet.Bits())
		if !b.internal {
			a.Gateway6 = b.pool6.gateway
		}
	}
	if b.direct == nil || b.direct.kind == "macvlan" {
		a.MAC = macOf(ip)
	}
	if !b.internal {
		a.Gateway = b.pool.gateway
	}
	return a
}

// pools are the network's, one for each version of IP.
func (b *bridge) pools() []*pool {
	if b.pool6 != nil {
		return []*pool{b.pool, b.pool6}
	}
	return []*pool{b.pool}
}

// Release gives the container's addresses on the network back. They return to
// the pool once the kernel knows nothing of them any more: neither cable nor
// rule nor connection.
func (m *Manager) Release(_ context.Context, networkID, containerID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.bridges[networkID]
	if b == nil {
		return nil
	}
	for _, p := range b.pools() {
		for ip, owner := range p.owner {
			if owner == containerID {
				delete(p.owner, ip)
				p.leaving[ip] = true
				m.work.add(job{pool: p, ip: ip})
			}
		}
	}
	return nil
}

package network

import (
	"context"
	"net/netip"

	"lus/internal/base/errs"
)

// Reserve gives the container an address on the network: the one wanted, or a
// free one where want is the zero Addr. Asking again gives the same.
func (m *Manager) Reserve(ctx context.Context, networkID, containerID string, want netip.Addr) (Address, error) {
	b, err := m.bridgeOf(networkID)
	if err != nil {
		return Address{}, err
	}
	// An address that is being cleaned up is worth the wait, once or twice.
	for try := 0; ; try++ {
		ip, waiting, err := m.reserve(b.pool, containerID, want)
		if err == nil {
			return b.address(ip), nil
		}
		if !waiting || try == 3 {
			return Address{}, err
		}
		if err := m.work.settle(ctx); err != nil {
			return Address{}, err
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
			err = errs.New(errs.Unavailable, "no available IPv4 addresses on this network's address pools: all of %s are in use", p.within)
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

func (b *bridge) address(ip netip.Addr) Address {
	a := Address{IP: netip.PrefixFrom(ip, b.pool.subnet.Bits())}
	if b.direct == nil || b.direct.kind == "macvlan" {
		a.MAC = macOf(ip)
	}
	if !b.internal {
		a.Gateway = b.pool.gateway
	}
	return a
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
	for ip, owner := range b.pool.owner {
		if owner == containerID {
			delete(b.pool.owner, ip)
			b.pool.leaving[ip] = true
			m.work.add(job{pool: b.pool, ip: ip})
		}
	}
	return nil
}

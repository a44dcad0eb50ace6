package engine

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"lus/internal/base/ids"
	"lus/internal/model/container"
)

// nameTables is who answers to which names on each network. It is changed in
// small steps and sent whole, which the name server wants.
type nameTables struct {
	mu  sync.Mutex
	net map[string]map[string]bound // network -> container -> names
}

type bound struct {
	ip    netip.Addr
	names []string
}

// dnsNames are the names that others on the network find the container by.
func dnsNames(rec *container.Container, ep *container.Endpoint) []string {
	out := []string{rec.Name}
	for _, n := range slices.Concat(ep.Aliases, []string{ids.Short(rec.ID), rec.Config.Hostname}) {
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// addNames makes the container known on the network.
func (e *Engine) addNames(ctx context.Context, networkID, containerID string, ip netip.Addr, names []string) error {
	e.dns.mu.Lock()
	defer e.dns.mu.Unlock()
	e.dns.note(networkID, containerID, bound{ip: ip, names: names})
	return e.pushNames(ctx, networkID)
}

// noteNames remembers the names of a container that runs; nothing is sent.
func (e *Engine) noteNames(rec *container.Container, places []place) {
	e.dns.mu.Lock()
	defer e.dns.mu.Unlock()
	for _, p := range places {
		if userNetwork(p.net) {
			e.dns.note(p.net.ID, rec.ID, bound{ip: p.ep.IP.Addr(), names: dnsNames(rec, rec.Networks[p.name])})
		}
	}
}

// note is called with the lock held.
func (t *nameTables) note(networkID, containerID string, b bound) {
	if t.net == nil {
		t.net = map[string]map[string]bound{}
	}
	if t.net[networkID] == nil {
		t.net[networkID] = map[string]bound{}
	}
	t.net[networkID][containerID] = b
}

func (e *Engine) dropNames(ctx context.Context, networkID, containerID string) {
	e.dns.mu.Lock()
	defer e.dns.mu.Unlock()
	if _, ok := e.dns.net[networkID][containerID]; !ok {
		return
	}
	delete(e.dns.net[networkID], containerID)
	if err := e.pushNames(ctx, networkID); err != nil {
		e.Log.Warn("updating names", "network", ids.Short(networkID), "err", err)
	}
	if len(e.dns.net[networkID]) == 0 {
		delete(e.dns.net, networkID)
	}
}

// pushNames sends a network's table; called with the lock held.
func (e *Engine) pushNames(ctx context.Context, networkID string) error {
	table := map[string][]netip.Addr{}
	for _, b := range e.dns.net[networkID] {
		for _, n := range b.names {
			key := strings.ToLower(n)
			table[key] = append(table[key], b.ip)
		}
	}
	for _, addrs := range table {
		slices.SortFunc(addrs, netip.Addr.Compare)
	}
	return e.Names.SetNames(ctx, networkID, table)
}

// serveNames starts the name service of a container that is on a network where
// names resolve, and makes it known there.
func (e *Engine) serveNames(ctx context.Context, rec *container.Container, netns *os.File, places []place, undo *undo) error {
	var nets []string
	for _, p := range places {
		if !userNetwork(p.net) {
			continue
		}
		nets = append(nets, p.net.ID)
		names := dnsNames(rec, rec.Networks[p.name])
		if err := e.addNames(ctx, p.net.ID, rec.ID, p.ep.IP.Addr(), names); err != nil {
			return err
		}
		undo.add(func(ctx context.Context) error {
			e.dropNames(ctx, p.net.ID, rec.ID)
			return nil
		})
	}
	if len(nets) == 0 {
		return nil
	}
	undo.add(func(ctx context.Context) error { return e.Names.Drop(ctx, rec.ID) })
	return e.Names.Serve(ctx, rec.ID, netns, nets, upstream(rec))
}

// upstream is where a container's other questions go: the servers of --dns;
// none means the host's own, as they are when the question comes.
func upstream(rec *container.Container) []string { return rec.HostConfig.DNS }

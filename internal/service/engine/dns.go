package engine

import (
	"context"
	"errors"
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
	ips   []netip.Addr
	names []string
	// waiting: names that another has too lead to the other.
	waiting bool
	links   []string // NAME:ALIAS: what this container alone calls others
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
func (e *Engine) addNames(ctx context.Context, rec *container.Container, p place) error {
	e.dns.mu.Lock()
	defer e.dns.mu.Unlock()
	e.dns.note(p.net.ID, rec.ID, boundTo(rec, p))
	return e.pushNames(ctx, p.net.ID)
}

func boundTo(rec *container.Container, p place) bound {
	ep := rec.Networks[p.name]
	b := bound{ips: []netip.Addr{p.ep.IP.Addr()}, names: dnsNames(rec, ep), links: ep.Links, waiting: waits(rec)}
	if p.ep.IP6.IsValid() {
		b.ips = append(b.ips, p.ep.IP6.Addr())
	}
	return b
}

// noteNames remembers the names of a container that runs; nothing is sent.
func (e *Engine) noteNames(rec *container.Container, places []place) {
	e.dns.mu.Lock()
	defer e.dns.mu.Unlock()
	for _, p := range places {
		if userNetwork(p.net) {
			e.dns.note(p.net.ID, rec.ID, boundTo(rec, p))
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
	gone, ok := e.dns.net[networkID][containerID]
	if !ok {
		return
	}
	delete(e.dns.net[networkID], containerID)
	err := e.pushNames(ctx, networkID)
	if len(gone.links) > 0 {
		err = errors.Join(err, e.Names.SetNames(ctx, linksOf(networkID, containerID), nil))
	}
	if err != nil {
		e.Log.Warn("updating names", "network", ids.Short(networkID), "err", err)
	}
	if len(e.dns.net[networkID]) == 0 {
		delete(e.dns.net, networkID)
	}
}

// pushNames sends a network's table; called with the lock held.
func (e *Engine) pushNames(ctx context.Context, networkID string) error {
	table := e.dns.table(networkID)
	for _, addrs := range table {
		slices.SortFunc(addrs, netip.Addr.Compare)
	}
	err := e.Names.SetNames(ctx, networkID, table)
	for id, b := range e.dns.net[networkID] {
		if len(b.links) > 0 {
			err = errors.Join(err, e.Names.SetNames(ctx, linksOf(networkID, id), linked(b.links, table)))
		}
	}
	return err
}

// table is who answers to which name: of several that share one, those that are
// not ready are left out as long as one is.
func (t *nameTables) table(networkID string) map[string][]netip.Addr {
	table, waiting := map[string][]netip.Addr{}, map[string][]netip.Addr{}
	for _, b := range t.net[networkID] {
		to := table
		if b.waiting {
			to = waiting
		}
		for _, n := range b.names {
			key := strings.ToLower(n)
			to[key] = append(to[key], b.ips...)
		}
	}
	for name, addrs := range waiting {
		if len(table[name]) == 0 {
			table[name] = addrs
		}
	}
	return table
}

// linksOf names the table that one container alone is served: what it calls
// others on a network.
func linksOf(networkID, containerID string) string { return networkID + "/" + containerID }

// linked gives each link's alias the addresses of the container it names, as
// long as that runs.
func linked(links []string, table map[string][]netip.Addr) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	for _, link := range links {
		name, alias := splitLink(link)
		if addrs := table[strings.ToLower(name)]; len(addrs) > 0 {
			out[strings.ToLower(alias)] = addrs
		}
	}
	return out
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
		if len(rec.Networks[p.name].Links) > 0 {
			nets = append(nets, linksOf(p.net.ID, rec.ID))
		}
		if err := e.addNames(ctx, rec, p); err != nil {
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

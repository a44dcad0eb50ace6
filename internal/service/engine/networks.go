package engine

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/container"
	"lus/internal/model/event"
	"lus/internal/model/filter"
	model "lus/internal/model/network"
	"lus/internal/service/engine/internal/bus"
)

// network returns the network of this name or id, or prefix of an id that only
// one has. What it returns is not to be changed.
func (e *Engine) network(name string) (*model.Network, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if n := e.networks[name]; n != nil {
		return n, nil
	}
	var found []*model.Network
	for id, n := range e.networks {
		if n.Name == name {
			return n, nil
		}
		if name != "" && strings.HasPrefix(id, name) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return nil, errs.New(errs.NotFound, "network %s not found", name)
	case 1:
		return found[0], nil
	}
	return nil, errs.New(errs.Invalid, "network %s is ambiguous (%d matches found based on ID prefix)", name, len(found))
}

// networkToJoin is the network that a new container asks for. Clients that hear
// "not found" on making a container take it for the image's, and pull.
func (e *Engine) networkToJoin(name string) (*model.Network, error) {
	n, err := e.network(name)
	switch {
	case errs.Is(err, errs.NotFound):
		return nil, errs.New(errs.Invalid, "network %s not found", name)
	case err != nil:
		return nil, err
	}
	return n, joinable(n)
}

// ensureNetworks makes the networks that are always there, and the kernel's
// part of all.
func (e *Engine) ensureNetworks(ctx context.Context) error {
	for _, n := range []*model.Network{
		{Name: model.Bridge, Driver: "bridge", EnableIPv4: true, Options: map[string]string{"com.docker.network.bridge.default_bridge": "true"}},
		{Name: model.Host, Driver: "host", EnableIPv4: true},
		{Name: model.None, Driver: "null", EnableIPv4: true},
	} {
		if _, err := e.network(n.Name); err == nil {
			continue
		}
		complete(n)
		n.ID, n.Created = ids.New(), e.Now()
		if onWire(n) {
			if err := e.Network.Ensure(ctx, n); err != nil {
				return err
			}
		}
		if err := e.saveNetwork(ctx, n); err != nil {
			return err
		}
		e.networks[n.ID] = n
	}
	return nil
}

// checkAddress refuses an address of one's own choice where none can be had.
func checkAddress(n *model.Network, c *container.EndpointIPAM) error {
	if len(c.LinkLocalIPs) > 0 {
		return errs.New(errs.Unsupported, "link-local addresses are not supported: leave --link-local-ip out")
	}
	for _, asked := range []struct {
		address, version string
		chosen           bool
	}{{c.IPv4Address, "IPv4", n.SubnetChosen}, {c.IPv6Address, "IPv6", n.Subnet6Chosen}} {
		if asked.address == "" {
			continue
		}
		ip, err := netip.ParseAddr(asked.address)
		if err != nil || ip.Is4In6() || ip.Is6() != (asked.version == "IPv6") {
			return errs.New(errs.Invalid, "invalid %s address: %s", asked.version, asked.address)
		}
		if err := checkOwnAddress(n, ip, asked.chosen); err != nil {
			return err
		}
	}
	return nil
}

func checkOwnAddress(n *model.Network, ip netip.Addr, chosen bool) error {
	switch {
	case !userNetwork(n):
		return errs.New(errs.Invalid, "user specified IP address is supported on user defined networks only")
	case ip.Is6() && !n.EnableIPv6:
		return errs.New(errs.Invalid, "network %s has no IPv6 addresses such as %s: make it with --ipv6", n.Name, ip)
	case chosen:
		return errs.New(errs.Invalid, "user specified IP address is supported only when connecting to networks with user configured subnets: make the network with --subnet")
	}
	for _, pool := range n.IPAM.Config {
		if subnet, err := netip.ParsePrefix(pool.Subnet); err == nil && subnet.Contains(ip) {
			return nil
		}
	}
	return errs.New(errs.Invalid, "no configured subnet contains IP address %s", ip)
}

func (e *Engine) tellNetwork(n *model.Network, action, containerID string) {
	attr := map[string]string{"name": n.Name, "type": n.Driver}
	if containerID != "" {
		attr["container"] = containerID
	}
	e.events.Publish(event.New("network", action, n.ID, attr, e.Now()))
}

// show completes a network with who is on it.
func (e *Engine) show(n *model.Network) *model.Network {
	out := *n
	out.Containers = map[string]model.Attached{}
	for _, u := range e.all() {
		rec := u.snapshot()
		for _, ep := range rec.Networks {
			if ep.NetworkID != n.ID || !rec.State.Running() {
				continue
			}
			a := model.Attached{Name: rec.Name, EndpointID: ep.EndpointID, MacAddress: ep.MacAddress}
			if ep.IPAddress != "" {
				a.IPv4Address = ep.IPAddress + "/" + strconv.Itoa(ep.IPPrefixLen)
			}
			if ep.GlobalIPv6Address != "" {
				a.IPv6Address = ep.GlobalIPv6Address + "/" + strconv.Itoa(ep.GlobalIPv6PrefixLen)
			}
			out.Containers[rec.ID] = a
		}
	}
	return &out
}

// InspectNetwork returns one network and who is on it.
func (e *Engine) InspectNetwork(_ context.Context, name string) (*model.Network, error) {
	n, err := e.network(name)
	if err != nil {
		return nil, err
	}
	return e.show(n), nil
}

// onNetwork are the containers that belong to a network, running or not.
func (e *Engine) onNetwork(id string) []container.Container {
	var out []container.Container
	for _, u := range e.all() {
		rec := u.snapshot()
		for _, ep := range rec.Networks {
			if ep.NetworkID == id {
				out = append(out, rec)
			}
		}
	}
	return out
}

func predefined(n *model.Network) bool {
	return n.Name == model.Bridge || n.Name == model.Host || n.Name == model.None
}

// ListNetworks lists the networks that match f.
func (e *Engine) ListNetworks(_ context.Context, f filter.Filters) ([]*model.Network, error) {
	if err := known(f, "name", "id", "driver", "label", "type", "scope", "dangling"); err != nil {
		return nil, err
	}
	e.mu.RLock()
	all := slices.Collect(maps.Values(e.networks))
	e.mu.RUnlock()
	out := []*model.Network{}
	for _, n := range all {
		if f.Match("name", func(w string) bool { return strings.Contains(n.Name, w) }) &&
			f.Match("id", func(w string) bool { return strings.HasPrefix(n.ID, w) }) &&
			f.Match("driver", func(w string) bool { return n.Driver == w }) &&
			f.Match("scope", func(w string) bool { return n.Scope == w }) &&
			f.Match("type", func(w string) bool { return w == "builtin" && predefined(n) || w == "custom" && !predefined(n) }) &&
			f.Match("dangling", func(w string) bool { return yes(w) == (!predefined(n) && len(e.onNetwork(n.ID)) == 0) }) &&
			bus.All(f["label"], func(w string) bool { return bus.Label(n.Labels, w) }) {
			out = append(out, e.show(n))
		}
	}
	slices.SortFunc(out, func(a, b *model.Network) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// RemoveNetwork removes a network that no running container is on.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	n, err := e.network(name)
	if err != nil {
		return err
	}
	if predefined(n) {
		return errs.New(errs.Denied, "%s is a pre-defined network and cannot be removed", n.Name)
	}
	e.netOp.Lock()
	defer e.netOp.Unlock()
	for _, rec := range e.onNetwork(n.ID) {
		if rec.State.Running() {
			return errs.New(errs.Conflict, "error while removing network: network %s id %s has active endpoints (name:%q id:%q): stop or disconnect that container first", n.Name, n.ID, rec.Name, ids.Short(rec.ID))
		}
	}
	if err := e.checkConfigUnused(n); err != nil {
		return err
	}
	if onWire(n) {
		if err := e.Network.Remove(ctx, n); err != nil {
			return err
		}
	}
	if err := e.forgetNetwork(ctx, n.ID); err != nil {
		return err
	}
	e.mu.Lock()
	delete(e.networks, n.ID)
	e.mu.Unlock()
	e.tellNetwork(n, "destroy", "")
	return nil
}

// PruneNetworks removes the networks that no running container is on. One that
// only stopped containers belong to goes too, as Docker has it: it has no
// endpoints. Settings that are kept for other networks stay.
func (e *Engine) PruneNetworks(ctx context.Context, f filter.Filters) (removed []string, err error) {
	if err := known(f, "label", "label!", "until"); err != nil {
		return nil, err
	}
	until, err := timeFilter(f["until"], e.Now())
	if err != nil {
		return nil, err
	}
	list, err := e.ListNetworks(ctx, filter.Filters{"type": {"custom"}, "label": f["label"]})
	if err != nil {
		return nil, err
	}
	for _, n := range list {
		if n.ConfigOnly || slices.ContainsFunc(f["label!"], func(w string) bool { return bus.Label(n.Labels, w) }) || !until.IsZero() && n.Created.After(until) {
			continue
		}
		if err := e.RemoveNetwork(ctx, n.ID); errs.Is(err, errs.Conflict) || errs.Is(err, errs.NotFound) {
			continue
		} else if err != nil {
			return removed, err
		}
		removed = append(removed, n.Name)
	}
	e.tellPruned("network", 0)
	return removed, nil
}

// netnsOf opens the network namespace of a running container.
func netnsOf(pid int) (*os.File, error) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return nil, errs.New(errs.Conflict, "the container has just ended: %w", err)
	}
	return f, nil
}

// wired are the networks that the kernel has a part of.
func (e *Engine) wired() []*model.Network {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var out []*model.Network
	for _, n := range e.networks {
		if onWire(n) {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *model.Network) int { return a.Created.Compare(b.Created) })
	return out
}

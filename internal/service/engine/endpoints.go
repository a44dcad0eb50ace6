package engine

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/network"
	"lus/internal/model/container"
	model "lus/internal/model/network"
)

// place is one network a container is to be on, while it is being started.
type place struct {
	name string // of the network
	net  *model.Network
	ep   network.Endpoint
}

// onWire reports whether containers get an interface on the network.
func onWire(n *model.Network) bool { return n.Driver == "bridge" || isDirect(n) }

// isDirect reports whether the interface is on the network of one of the
// host's, so that nothing of it passes the host.
func isDirect(n *model.Network) bool { return n.Driver == "macvlan" || n.Driver == "ipvlan" }

// userNetwork reports whether names resolve on the network.
func userNetwork(n *model.Network) bool { return onWire(n) && n.Name != model.Bridge }

// places lists the networks of a container: the one of --network first, as
// eth0, the others by name.
func (e *Engine) places(rec *container.Container) ([]place, error) {
	var out []place
	for name, ep := range rec.Networks {
		n, err := e.network(ep.NetworkID)
		if err != nil {
			return nil, errs.New(errs.NotFound, "network %s not found: it was removed; disconnect the container from it, or make it again", name)
		}
		if onWire(n) {
			out = append(out, place{name: name, net: n})
		}
	}
	primary := rec.HostConfig.NetworkMode
	slices.SortFunc(out, func(a, b place) int {
		if (a.name == primary) != (b.name == primary) {
			if a.name == primary {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.name, b.name)
	})
	for i := range out {
		out[i].ep = network.Endpoint{NetworkID: out[i].net.ID, ContainerID: rec.ID}
	}
	nameInterfaces(rec, out)
	return out, nil
}

func eth(i int) string { return "eth" + strconv.Itoa(i) }

// reserve gives each place its address and chooses the way out.
func (e *Engine) reserve(ctx context.Context, rec *container.Container, places []place, undo *undo) error {
	for i := range places {
		p := &places[i]
		want := network.Wanted{NoIPv6: withoutIPv6(rec)}
		if cfg := rec.Networks[p.name].IPAMConfig; cfg != nil {
			var err error
			if want.IP, err = address(cfg.IPv4Address, "IPv4"); err != nil {
				return err
			}
			if want.IP6, err = address(cfg.IPv6Address, "IPv6"); err != nil {
				return err
			}
		}
		addr, err := e.Network.Reserve(ctx, p.net.ID, rec.ID, want)
		if err != nil {
			return err
		}
		undo.add(func(ctx context.Context) error { return e.Network.Release(ctx, p.net.ID, rec.ID) })
		p.ep.Address = addr
		if mac, err := net.ParseMAC(rec.Networks[p.name].WantedMAC); err == nil {
			p.ep.MAC = mac
		}
	}
	chooseWaysOut(rec, places)
	return nil
}

// address reads one that is asked for; empty: any.
func address(text, version string) (ip netip.Addr, err error) {
	if text == "" {
		return ip, nil
	}
	if ip, err = netip.ParseAddr(text); err != nil {
		return ip, errs.New(errs.Invalid, "invalid %s address: %s", version, text)
	}
	return ip, nil
}

// withoutIPv6 reports whether a container switches IPv6 off for itself.
func withoutIPv6(rec *container.Container) bool {
	return rec.HostConfig.Sysctls["net.ipv6.conf.all.disable_ipv6"] == "1" || rec.HostConfig.Sysctls["net.ipv6.conf.default.disable_ipv6"] == "1"
}

// chooseWaysOut notes which places the default routes lead to.
func chooseWaysOut(rec *container.Container, places []place) {
	for i := range places {
		places[i].ep.Default, places[i].ep.Default6 = false, false
	}
	if i := gateway(rec, places, func(p place) netip.Addr { return p.ep.Gateway }); i >= 0 {
		places[i].ep.Default = true
	}
	if i := gateway(rec, places, func(p place) netip.Addr { return p.ep.Gateway6 }); i >= 0 {
		places[i].ep.Default6 = true
	}
}

// gateway chooses the place that the default route of one version of IP leads
// to: the highest priority, else the first by name, of those that lead out at
// all.
func gateway(rec *container.Container, places []place, of func(place) netip.Addr) int {
	best := -1
	for i, p := range places {
		if !of(p).IsValid() {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		mine, his := rec.Networks[p.name].GwPriority, rec.Networks[places[best].name].GwPriority
		if mine > his || mine == his && p.name < places[best].name {
			best = i
		}
	}
	return best
}

// plug connects a process to its networks. What it did is undone by undo.
func (e *Engine) plug(ctx context.Context, rec *container.Container, netns *os.File, places []place, undo *undo) error {
	if len(places) == 0 {
		return nil
	}
	eps := make([]network.Endpoint, len(places))
	for i, p := range places {
		eps[i] = p.ep
	}
	if err := e.Network.Attach(ctx, netns, eps...); err != nil {
		return err
	}
	undo.add(func(ctx context.Context) error {
		var err error
		for _, p := range places {
			err = cmp.Or(err, e.Network.Detach(ctx, p.net.ID, rec.ID))
		}
		return err
	})
	return nil
}

// settlePlaces writes what the container got into its record's endpoints.
func settlePlaces(rec *container.Container, places []place) {
	for _, p := range places {
		endpoint(rec, p.name, func(ep *container.Endpoint) { fill(ep, rec, &p) })
	}
}

func fill(ep *container.Endpoint, rec *container.Container, p *place) {
	ep.EndpointID = ids.New()
	ep.IPAddress, ep.IPPrefixLen = p.ep.IP.Addr().String(), p.ep.IP.Bits()
	ep.MacAddress = p.ep.MAC.String()
	ep.Gateway = ""
	if p.ep.Gateway.IsValid() {
		ep.Gateway = p.ep.Gateway.String()
	}
	ep.GlobalIPv6Address, ep.GlobalIPv6PrefixLen, ep.IPv6Gateway = "", 0, ""
	if p.ep.IP6.IsValid() {
		ep.GlobalIPv6Address, ep.GlobalIPv6PrefixLen = p.ep.IP6.Addr().String(), p.ep.IP6.Bits()
	}
	if p.ep.Gateway6.IsValid() {
		ep.IPv6Gateway = p.ep.Gateway6.String()
	}
	ep.DNSNames = nil
	if userNetwork(p.net) {
		ep.DNSNames = dnsNames(rec, ep)
	}
}

// blank takes the addresses out of a stopped container's record.
func blank(rec *container.Container) {
	for name := range rec.Networks {
		endpoint(rec, name, func(ep *container.Endpoint) {
			ep.EndpointID, ep.Gateway, ep.IPAddress, ep.MacAddress, ep.IPPrefixLen = "", "", "", "", 0
			ep.GlobalIPv6Address, ep.GlobalIPv6PrefixLen, ep.IPv6Gateway = "", 0, ""
		})
	}
	rec.Ports = nil
}

// unplug gives back what the container has of the networks. Names, ports and
// addresses are free when it returns; the cables go a little later.
func (e *Engine) unplug(ctx context.Context, rec *container.Container) {
	var served bool
	for name, ep := range rec.Networks {
		n, err := e.network(ep.NetworkID)
		if err != nil || !onWire(n) {
			continue
		}
		served = served || userNetwork(n)
		if userNetwork(n) {
			e.dropNames(ctx, n.ID, rec.ID)
		}
		e.warn("disconnecting", rec, e.Network.Detach(ctx, n.ID, rec.ID), "network", name)
	}
	if served {
		e.warn("ending the name service", rec, e.Names.Drop(ctx, rec.ID))
	}
	e.warn("freeing ports", rec, e.Network.Unpublish(ctx, rec.ID))
	for _, ep := range rec.Networks {
		if ep.NetworkID != "" {
			e.warn("freeing the address", rec, e.Network.Release(ctx, ep.NetworkID, rec.ID))
		}
	}
}

// warn notes that cleaning up after a container failed; there is nobody to
// return it to.
func (e *Engine) warn(what string, rec *container.Container, err error, more ...any) {
	if err != nil {
		e.Log.Warn(what, append([]any{"container", rec.Name, "id", ids.Short(rec.ID), "err", err}, more...)...)
	}
}

// ports is what a container publishes: what was asked, and with -P whatever it
// exposes besides.
func ports(rec *container.Container) ([]container.PublishedPort, error) {
	list, err := rec.HostConfig.PortBindings.Published()
	for i := range list {
		list[i].Group, list[i].Waiting = rec.HostConfig.ServiceGroup, waits(rec)
	}
	if err != nil || !rec.HostConfig.PublishAllPorts {
		return list, err
	}
	for key := range rec.Config.ExposedPorts {
		p, err := container.ParsePort(key)
		if err != nil {
			return nil, errs.With(errs.Invalid, err)
		}
		if len(rec.HostConfig.PortBindings[p.String()]) == 0 {
			list = append(list, container.PublishedPort{Port: p})
		}
	}
	return list, nil
}

// publish takes the host's ports for the places that lead out.
func (e *Engine) publish(ctx context.Context, rec *container.Container, places []place, undo *undo) (container.PortMap, error) {
	list, err := ports(rec)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	ways := waysIn(places)
	if ways == (network.Ways{}) {
		return nil, nil // the network is internal, or there is none
	}
	got, err := e.Network.Publish(ctx, rec.ID, ways, list)
	if err != nil {
		return nil, err
	}
	undo.add(func(ctx context.Context) error { return e.Network.Unpublish(ctx, rec.ID) })
	return got, nil
}

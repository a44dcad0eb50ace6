package engine

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"lus/internal/base/errs"
	"lus/internal/linux/network"
	"lus/internal/model/container"
	model "lus/internal/model/network"
)

// ConnectNetwork puts a container on one more network; a running one gets an
// interface there at once.
func (e *Engine) ConnectNetwork(ctx context.Context, name, containerName string, asked *container.Endpoint) error {
	n, err := e.network(name)
	if err != nil {
		return err
	}
	u, err := e.find(containerName)
	if err != nil {
		return err
	}
	if err := joinable(n); err != nil {
		return err
	}
	if !onWire(n) {
		return errs.New(errs.Invalid, "container cannot be connected to network %s: containers get no interface there", n.Name)
	}
	ep, err := planEndpoint(n, asked)
	if err != nil {
		return err
	}
	u.op.Lock()
	defer u.op.Unlock()
	rec, r := u.currentRun()
	if err := connectable(&rec, n); err != nil {
		return err
	}
	edited := rec
	edited.Networks = maps.Clone(rec.Networks)
	edited.Networks[n.Name] = ep
	if rec.State.Running() {
		if err := e.plugLate(ctx, &edited, n); err != nil {
			return err
		}
	}
	e.change(u, func(rec *container.Container) {
		rec.Networks, rec.Ports = edited.Networks, edited.Ports
		delete(rec.Networks, model.None) // the first network replaces none
		if rec.HostConfig.NetworkMode == model.None {
			h := *rec.HostConfig
			h.NetworkMode = n.Name
			rec.HostConfig = &h
		}
	})
	e.takeBack(ctx, u, &rec, r)
	e.tellNetwork(n, "connect", u.id)
	return e.records.flush(ctx)
}

// takeBack follows a change of what a container has of the networks. If it ran
// before and its end came in between, that end did not see the change: then all is
// given back here. The unit's op is held, so that nobody starts it meanwhile.
func (e *Engine) takeBack(ctx context.Context, u *unit, before *container.Container, r *run) {
	if !before.State.Running() || !u.over(r) {
		return
	}
	<-r.ended // it may be giving back this moment
	now := u.snapshot()
	e.unplug(ctx, &now)
	e.change(u, blank)
}

func connectable(rec *container.Container, n *model.Network) error {
	switch {
	case rec.Networks[n.Name] != nil:
		return errs.New(errs.Denied, "endpoint with name %s already exists in network %s", rec.Name, n.Name)
	case rec.HostConfig.NetworkMode == model.Host:
		return errs.New(errs.Invalid, "cannot connect container to host network - container must be created in host network mode")
	case !ownNetwork(rec.HostConfig):
		return errs.New(errs.Invalid, "container sharing network namespace with another container or host cannot be connected to any other network")
	}
	return nil
}

// plugLate gives a running container an interface on n, and writes its address
// into rec.
func (e *Engine) plugLate(ctx context.Context, rec *container.Container, n *model.Network) error {
	before, err := e.placesNow(rec)
	if err != nil {
		return err
	}
	undo := &undo{}
	added := []place{{name: n.Name, net: n, ep: network.Endpoint{NetworkID: n.ID, ContainerID: rec.ID}}}
	err = e.reserve(ctx, rec, added, undo)
	if err == nil {
		all := append(slices.Clone(before), added...)
		chooseWaysOut(rec, all)
		added[0].ep = all[len(before)].ep
		err = e.plugInto(ctx, rec, added, before, undo)
	}
	if err == nil {
		return nil
	}
	if uerr := undo.all(ctx); uerr != nil {
		e.warn("undoing a connection", rec, uerr)
	}
	return err
}

func (e *Engine) plugInto(ctx context.Context, rec *container.Container, added, before []place, undo *undo) error {
	netns, err := netnsOf(rec.State.Pid)
	if err != nil {
		return err
	}
	defer netns.Close()
	if added[0].ep.Default || added[0].ep.Default6 {
		undo.add(func(ctx context.Context) error { return e.leadRoutes(ctx, rec, added, before) })
	}
	if err := e.plug(ctx, rec, netns, added, undo); err != nil {
		return err
	}
	if isDirect(added[0].net) {
		undo.add(func(ctx context.Context) error { return e.pull(ctx, rec, added, added[0].net) })
	}
	settlePlaces(rec, added)
	places, err := e.placesNow(rec)
	if err != nil {
		return err
	}
	if err := e.serveNames(ctx, rec, netns, places, undo); err != nil {
		return err
	}
	if err := e.writeFiles(rec, places); err != nil {
		return err
	}
	return e.leadPorts(ctx, rec, before, places, undo)
}

// placesNow are the networks of a running container with the addresses of its record.
func (e *Engine) placesNow(rec *container.Container) ([]place, error) {
	places, err := e.places(rec)
	if err != nil {
		return nil, err
	}
	for i := range places {
		ep := rec.Networks[places[i].name]
		if ip, err := netip.ParseAddr(ep.IPAddress); err == nil {
			places[i].ep.IP = netip.PrefixFrom(ip, ep.IPPrefixLen)
		}
		if gw, err := netip.ParseAddr(ep.Gateway); err == nil {
			places[i].ep.Gateway = gw
		}
		if ip, err := netip.ParseAddr(ep.GlobalIPv6Address); err == nil {
			places[i].ep.IP6 = netip.PrefixFrom(ip, ep.GlobalIPv6PrefixLen)
		}
		if gw, err := netip.ParseAddr(ep.IPv6Gateway); err == nil {
			places[i].ep.Gateway6 = gw
		}
	}
	places = slices.DeleteFunc(places, func(p place) bool { return !p.ep.IP.IsValid() })
	chooseWaysOut(rec, places)
	return places, nil
}

// DisconnectNetwork takes a container off a network.
func (e *Engine) DisconnectNetwork(ctx context.Context, name, containerName string, force bool) error {
	n, err := e.network(name)
	if err != nil {
		return err
	}
	u, err := e.find(containerName)
	if err != nil {
		if force && errs.Is(err, errs.NotFound) {
			return nil
		}
		return err
	}
	u.op.Lock()
	defer u.op.Unlock()
	rec, r := u.currentRun()
	switch {
	case rec.Networks[n.Name] == nil:
		return errs.New(errs.Denied, "container %s is not connected to network %s", rec.ID, n.Name)
	case !onWire(n):
		return errs.New(errs.Denied, "container cannot be disconnected from %s network", n.Name)
	}
	edited := rec
	edited.Networks = maps.Clone(rec.Networks)
	delete(edited.Networks, n.Name)
	if rec.State.Running() {
		if err := e.unplugOne(ctx, &rec, &edited, n); err != nil {
			return err
		}
	}
	e.change(u, func(rec *container.Container) { rec.Networks, rec.Ports = edited.Networks, edited.Ports })
	e.takeBack(ctx, u, &rec, r)
	e.tellNetwork(n, "disconnect", u.id)
	return e.records.flush(ctx)
}

// unplugOne takes the interface on n away from a running container. The default
// route and the published ports go over to another network, if one leads out.
func (e *Engine) unplugOne(ctx context.Context, rec, edited *container.Container, n *model.Network) error {
	before, err := e.placesNow(rec)
	if err != nil {
		return err
	}
	rest, err := e.placesNow(edited)
	if err != nil {
		return err
	}
	if userNetwork(n) {
		e.dropNames(ctx, n.ID, rec.ID)
	}
	// Route and ports first: nothing may be sent to an address that is free.
	if err := e.leadRoutes(ctx, rec, before, rest); err != nil {
		return err
	}
	if err := e.leadPorts(ctx, edited, before, rest, &undo{}); err != nil {
		return err
	}
	if err := e.pull(ctx, rec, before, n); err != nil {
		return err
	}
	// The container runs on: the interface is to be gone when we say so.
	if err := e.Network.Settle(ctx); err != nil {
		return err
	}
	if err := e.Network.Release(ctx, n.ID, rec.ID); err != nil {
		return err
	}
	if err := e.serveAgain(ctx, rec, rest); err != nil {
		return err
	}
	return e.writeFiles(edited, rest)
}

// pull takes the interface on n away.
func (e *Engine) pull(ctx context.Context, rec *container.Container, places []place, n *model.Network) error {
	if !isDirect(n) {
		return e.Network.Detach(ctx, n.ID, rec.ID)
	}
	netns, err := netnsOf(rec.State.Pid)
	if err != nil {
		return err
	}
	defer netns.Close()
	for _, p := range places {
		if p.net.ID == n.ID {
			return e.Network.Pull(ctx, netns, p.ep)
		}
	}
	return nil
}

// serveAgain tells the name service which networks a running container has now.
func (e *Engine) serveAgain(ctx context.Context, rec *container.Container, places []place) error {
	if !named(places) {
		return e.Names.Drop(ctx, rec.ID)
	}
	netns, err := netnsOf(rec.State.Pid)
	if err != nil {
		return err
	}
	defer netns.Close()
	return e.serveNames(ctx, rec, netns, places, &undo{})
}

// renamed makes the new name of a running container known on its networks.
func (e *Engine) renamed(ctx context.Context, u *unit) error {
	rec, r := u.currentRun()
	if !rec.State.Running() {
		return nil
	}
	defer e.takeBack(ctx, u, &rec, r)
	places, err := e.placesNow(&rec)
	if err != nil {
		return err
	}
	for _, p := range places {
		if !userNetwork(p.net) {
			continue
		}
		if err := e.addNames(ctx, &rec, p); err != nil {
			return err
		}
		e.change(u, func(rec *container.Container) {
			endpoint(rec, p.name, func(ep *container.Endpoint) { ep.DNSNames = dnsNames(rec, ep) })
		})
	}
	return nil
}

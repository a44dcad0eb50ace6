package engine

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"lus/internal/linux/network"
	"lus/internal/model/container"
)

// waysIn are the places by which published ports are reached: the ways out of
// each version of IP, as far as those are by a bridge.
func waysIn(places []place) (w network.Ways) {
	for i := range places {
		p := &places[i]
		if isDirect(p.net) {
			continue
		}
		if p.ep.Default {
			w.V4 = network.Way{NetworkID: p.net.ID, IP: p.ep.IP.Addr()}
		}
		if p.ep.Default6 {
			w.V6 = network.Way{NetworkID: p.net.ID, IP: p.ep.IP6.Addr()}
		}
	}
	return w
}

// leadRoutes leads the default routes of a running container from where they
// are to where they are to be.
func (e *Engine) leadRoutes(ctx context.Context, rec *container.Container, from, to []place) error {
	had := map[string]network.Endpoint{}
	for _, p := range from {
		had[p.net.ID] = p.ep
	}
	var moved []network.Endpoint
	for _, p := range to {
		ep, was := p.ep, had[p.net.ID]
		ep.Default, ep.Default6 = ep.Default && !was.Default, ep.Default6 && !was.Default6
		if ep.Default || ep.Default6 {
			moved = append(moved, ep)
		}
	}
	if len(moved) == 0 {
		return nil
	}
	netns, err := netnsOf(rec.State.Pid)
	if err != nil {
		return err
	}
	defer netns.Close()
	for _, ep := range moved {
		if err := e.Network.Route(ctx, netns, ep); err != nil {
			return err
		}
	}
	return nil
}

// leadPorts leads the published ports of a running container from one network
// to another, and writes into rec which there are now. Those that had no way in
// until now are published as at a start.
func (e *Engine) leadPorts(ctx context.Context, rec *container.Container, from, to []place, undo *undo) error {
	was, is := waysIn(from), waysIn(to)
	if was == is {
		return nil
	}
	rec.Ports = maps.Clone(rec.Ports)
	var move, fresh network.Ways
	for _, w := range []struct {
		family               network.Family
		was, is, move, fresh *network.Way
	}{{network.V4, &was.V4, &is.V4, &move.V4, &fresh.V4}, {network.V6, &was.V6, &is.V6, &move.V6, &fresh.V6}} {
		have := slices.ContainsFunc(bindings(rec.Ports), func(b container.PortBinding) bool { return familyOf(b) == w.family })
		switch {
		case *w.was == *w.is:
		case w.is.NetworkID == "":
			if err := e.Network.Unpublish(ctx, rec.ID, w.family); err != nil {
				return err
			}
			dropPorts(rec.Ports, w.family)
		case have:
			*w.move = *w.is
		default:
			*w.fresh = *w.is
		}
	}
	if move != (network.Ways{}) {
		if err := e.Network.Move(ctx, rec.ID, move); err != nil {
			return err
		}
	}
	return e.publishLate(ctx, rec, fresh, undo)
}

// publishLate publishes the ports of a running container on ways that it did not
// have before.
func (e *Engine) publishLate(ctx context.Context, rec *container.Container, ways network.Ways, undo *undo) error {
	list, err := ports(rec)
	if err != nil || ways == (network.Ways{}) || len(list) == 0 {
		return err
	}
	var families []network.Family
	if ways.V4.NetworkID != "" {
		families = append(families, network.V4)
	}
	if ways.V6.NetworkID != "" {
		families = append(families, network.V6)
	}
	// What names an address of the other version stays as it is.
	list = slices.DeleteFunc(list, func(p container.PublishedPort) bool {
		return p.HostIP.IsValid() && !slices.Contains(families, network.Family(p.HostIP.Unmap().Is6()))
	})
	got, err := e.Network.Publish(ctx, rec.ID, ways, list)
	if err != nil {
		return err
	}
	undo.add(func(ctx context.Context) error { return e.Network.Unpublish(ctx, rec.ID, families...) })
	if rec.Ports == nil {
		rec.Ports = container.PortMap{}
	}
	for key, more := range got {
		rec.Ports[key] = append(slices.Clone(rec.Ports[key]), more...)
	}
	return nil
}

func bindings(ports container.PortMap) (out []container.PortBinding) {
	for _, b := range ports {
		out = append(out, b...)
	}
	return out
}

// familyOf is the version of IP of where a port is published.
func familyOf(b container.PortBinding) network.Family {
	ip, err := netip.ParseAddr(b.HostIP)
	return network.Family(err == nil && ip.Is6())
}

// dropPorts takes those of one version of IP out.
func dropPorts(ports container.PortMap, f network.Family) {
	for key, list := range ports {
		left := slices.DeleteFunc(slices.Clone(list), func(b container.PortBinding) bool { return familyOf(b) == f })
		if ports[key] = left; len(left) == 0 {
			delete(ports, key)
		}
	}
}

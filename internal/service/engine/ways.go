package engine

import (
	"context"

	"lus/internal/model/container"
)

// wayOut is the place that the default route leads to; nil where none leads out.
func wayOut(places []place) *place {
	for i := range places {
		if places[i].ep.Default {
			return &places[i]
		}
	}
	return nil
}

// wayIn is the place by which published ports are reached: the way out, if that
// is by a bridge.
func wayIn(places []place) *place {
	if p := wayOut(places); p != nil && !isDirect(p.net) {
		return p
	}
	return nil
}

func sameWay(a, b *place) bool {
	return a == nil && b == nil || a != nil && b != nil && a.net.ID == b.net.ID
}

// leadRoute leads the default route of a running container from one network to
// another.
func (e *Engine) leadRoute(ctx context.Context, rec *container.Container, from, to *place) error {
	if to == nil || sameWay(from, to) {
		return nil
	}
	netns, err := netnsOf(rec.State.Pid)
	if err != nil {
		return err
	}
	defer netns.Close()
	return e.Network.Route(ctx, netns, to.ep)
}

// leadPorts leads the published ports of a running container from one network
// to another, and writes into rec which there are now. Those that had no way in
// until now are published as at a start.
func (e *Engine) leadPorts(ctx context.Context, rec *container.Container, from, to *place, undo *undo) error {
	switch {
	case sameWay(from, to):
		return nil
	case to == nil:
		rec.Ports = nil
		return e.Network.Unpublish(ctx, rec.ID)
	case len(rec.Ports) == 0:
		got, err := e.publish(ctx, rec, []place{*to}, undo)
		if err == nil {
			rec.Ports = got
		}
		return err
	}
	return e.Network.Move(ctx, rec.ID, to.net.ID, to.ep.IP.Addr())
}

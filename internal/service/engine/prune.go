package engine

import (
	"context"
	"slices"
	"strconv"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/event"
	"lus/internal/model/filter"
	"lus/internal/service/engine/internal/bus"
)

// PruneContainers removes the containers that do not run, and tells what they
// took. Their volumes stay.
func (e *Engine) PruneContainers(ctx context.Context, f filter.Filters) (removed []string, freed int64, err error) {
	if err := known(f, "label", "label!", "until"); err != nil {
		return nil, 0, err
	}
	until, err := timeFilter(f["until"], e.Now())
	if err != nil {
		return nil, 0, err
	}
	list, err := e.ListContainers(ctx, container.ListOptions{All: true, Filters: filter.Filters{
		"status": {container.Created, container.Exited, container.Dead}, "label": f["label"],
	}})
	if err != nil {
		return nil, 0, err
	}
	for _, c := range list {
		if !until.IsZero() && c.Created.After(until) || slices.ContainsFunc(f["label!"], func(w string) bool { return bus.Label(c.Config.Labels, w) }) {
			continue
		}
		size := diskUsage(e.paths(c.ID).upper)
		err := e.RemoveContainer(ctx, c.ID, container.RemoveOptions{})
		if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Conflict) {
			continue // gone, or started, meanwhile
		}
		if err != nil {
			return removed, freed, err
		}
		removed, freed = append(removed, c.ID), freed+size
	}
	e.tellPruned("container", freed)
	return removed, freed, nil
}

// tellPruned tells that things of a kind were pruned, and how much that gave back.
func (e *Engine) tellPruned(kind string, freed int64) {
	e.events.Publish(event.New(kind, "prune", "", map[string]string{"reclaimed": strconv.FormatInt(freed, 10)}, e.Now()))
}

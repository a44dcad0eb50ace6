package engine

import (
	"context"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/merge"
	"lus/internal/service/engine/internal/spec"
)

// UpdateContainer changes a container's limits and its restart policy, at once
// where it runs. Where the kernel refuses, nothing is changed.
func (e *Engine) UpdateContainer(ctx context.Context, name string, req *container.UpdateRequest) (warnings []string, err error) {
	u, err := e.find(name)
	if err != nil {
		return nil, err
	}
	u.op.Lock()
	defer u.op.Unlock()
	rec := u.snapshot()
	h, err := updated(&rec, req)
	if err != nil {
		return nil, err
	}
	if rec.State.Running() {
		if err := e.limit(ctx, u, rec.HostConfig, h); err != nil {
			return nil, cannotUpdate(&rec, err)
		}
	}
	e.change(u, func(rec *container.Container) {
		kept := *h
		kept.AutoRemove = rec.HostConfig.AutoRemove // a restart switches it off for a moment
		rec.HostConfig = &kept
	})
	if err := e.records.flush(ctx); err != nil {
		return nil, err
	}
	e.tell(&rec, "update")
	return nil, nil
}

// cannotUpdate names the container, as Docker does: several may be updated by one
// command.
func cannotUpdate(rec *container.Container, err error) error {
	return errs.New(errs.KindOf(err), "Cannot update container %s: %w", rec.ID, err)
}

// updated is have with what was asked for.
func updated(rec *container.Container, req *container.UpdateRequest) (*container.HostConfig, error) {
	have := rec.HostConfig
	r, err := merge.Resources(&have.Resources, &req.Resources)
	if err != nil {
		return nil, cannotUpdate(rec, err)
	}
	h := *have
	h.Resources = *r
	if p := req.RestartPolicy; p.Name != "" {
		if h.AutoRemove && p.Name != "no" {
			return nil, cannotUpdate(rec, errs.New(errs.Invalid, "Restart policy cannot be updated because AutoRemove is enabled for the container"))
		}
		h.RestartPolicy = p
	}
	if err := spec.CheckUpdate(&h); err != nil {
		return nil, err
	}
	return &h, nil
}

// limit gives a running container its new limits, or the old ones back.
func (e *Engine) limit(ctx context.Context, u *unit, before, after *container.HostConfig) error {
	err := e.Runtime.Update(ctx, u.id, spec.Change(&after.Resources))
	if err == nil || errs.Is(err, errs.NotFound) { // it has just ended: the next start has them
		return nil
	}
	if back := e.Runtime.Update(context.WithoutCancel(ctx), u.id, spec.Change(&before.Resources)); back != nil {
		rec := u.snapshot()
		e.warn("giving a container its limits back", &rec, back)
	}
	return err
}

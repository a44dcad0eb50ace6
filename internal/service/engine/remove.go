package engine

import (
	"context"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/names"
)

// RemoveContainer removes a container, and with Force kills it first.
func (e *Engine) RemoveContainer(ctx context.Context, name string, o container.RemoveOptions) error {
	if o.Link {
		return e.removeLink(name)
	}
	u, err := e.find(name)
	if err != nil {
		return err
	}
	if err := removable(u.snapshot(), o); err != nil {
		return err
	}
	u.mu.Lock()
	if u.removing {
		u.mu.Unlock()
		return errs.New(errs.Conflict, "removal of container %s is already in progress", name)
	}
	u.removing = true
	u.mu.Unlock()
	if err := e.remove(ctx, u, o); err != nil {
		u.mu.Lock()
		u.removing = false
		u.mu.Unlock()
		return err
	}
	return nil
}

// removable says why a container cannot be removed; with Force it always can.
func removable(rec container.Container, o container.RemoveOptions) error {
	if !o.Force && (rec.State.Running() || rec.State.Status == container.Restarting) {
		return errs.New(errs.Conflict, "cannot remove container %q: container is %s: stop the container before removing or force remove", "/"+rec.Name, rec.State.Status)
	}
	return nil
}

func (e *Engine) remove(ctx context.Context, u *unit, o container.RemoveOptions) error {
	u.op.Lock()
	defer u.op.Unlock()
	if err := removable(u.snapshot(), o); err != nil { // started meanwhile
		return err
	}
	if r := e.wantStopped(u); r != nil {
		if err := e.kill(ctx, u, r); err != nil {
			return err
		}
	}
	auto := u.autoRemove()
	u.mu.Lock()
	if !u.rec.State.Running() {
		u.rec.State.Status = container.Removing
	}
	cleaning := u.cleaning
	u.mu.Unlock()
	e.forget(u, o.Volumes || auto)
	if auto && cleaning != nil {
		return nil // its own end clears it away
	}
	e.deferred.do(func() {
		if cleaning != nil {
			<-cleaning
		}
		e.clear(u, o.Volumes || auto)
	})
	return nil
}

// RenameContainer gives the container another name.
func (e *Engine) RenameContainer(ctx context.Context, name, to string) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	if len(to) > 0 && to[0] == '/' {
		to = to[1:]
	}
	if to == "" {
		return errs.New(errs.Invalid, "Neither old nor new names may be empty")
	}
	if err := names.Check("container", to); err != nil {
		return err
	}
	u.op.Lock()
	defer u.op.Unlock()
	rec := u.snapshot()
	if rec.Name == to {
		return errs.New(errs.Invalid, "Renaming a container with the same name as its current name")
	}
	if err := e.claimName(u, to); err != nil {
		return err
	}
	e.change(u, func(rec *container.Container) { rec.Name = to })
	e.freeName(u, rec.Name)
	if err := e.renamed(ctx, u); err != nil {
		return err
	}
	now := u.snapshot()
	e.tell(&now, "rename", "oldName", "/"+rec.Name)
	return e.records.flush(ctx)
}

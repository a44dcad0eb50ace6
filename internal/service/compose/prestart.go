package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// A pre_start hook is a container of its own that must end well before its
// service starts. It is made when its turn comes and goes when it has ended; one
// that failed stays, to be looked at, until the next.

// hooks plans those of a service's hooks that are wanted, for its n-th container,
// and returns what a start comes after.
func (p *plan) hooks(project string, s *compose.Service, n int, wanted func(compose.PreStart) bool, after []*step) []*step {
	for i, h := range s.PreStart {
		if wanted(h) {
			after = []*step{p.add(&step{
				action: compose.RunHook, kind: "Container", name: hookName(project, s, i, n), service: s, number: n, hook: i, after: after,
			})}
		}
	}
	return after
}

// Which hooks run: with the first container of a service that starts all do.
func everyHook(compose.PreStart) bool   { return true }
func ofReplica(h compose.PreStart) bool { return h.PerReplica }
func ofService(h compose.PreStart) bool { return !h.PerReplica }

// before plans the hooks of a service's n-th container, which is about to start.
func (u *upPlan) before(s *compose.Service, n int, after []*step) []*step {
	if u.serving || len(s.PreStart) == 0 {
		return after
	}
	if first := u.hooked[s.Name]; first != nil {
		return u.hooks(u.req.Project.Name, s, n, ofReplica, slices.Concat(after, first))
	}
	u.hooked[s.Name] = u.hooks(u.req.Project.Name, s, n, everyHook, after)
	return u.hooked[s.Name]
}

// beforeUpdate plans the hooks that run once before containers are replaced a
// few at a time; those of each container run when its turn comes.
func (u *upPlan) beforeUpdate(s *compose.Service, n int, after []*step) []*step {
	if u.serving || len(s.PreStart) == 0 {
		return after
	}
	if u.hooked[s.Name] == nil {
		u.hooked[s.Name] = u.hooks(u.req.Project.Name, s, n, ofService, after)
	}
	return slices.Concat(after, u.hooked[s.Name])
}

// before plans the hooks of a start, where no container of the service runs.
func (s *statePlan) before(service *compose.Service, cs []*container.Container, after []*step) []*step {
	for i, c := range cs {
		if c.State.Running() {
			return after
		}
		wanted := ofReplica
		if i == 0 {
			wanted = everyHook
		}
		after = s.hooks(s.req.Name, service, number(c), wanted, after)
	}
	return after
}

// hookName is the name of the container that runs a service's i-th hook for its
// n-th container.
func hookName(project string, s *compose.Service, i, n int) string {
	name := project + "-" + s.Name + "-pre_start-" + strconv.Itoa(i)
	if s.PreStart[i].PerReplica {
		name += "-" + strconv.Itoa(n)
	}
	return name
}

// runHook runs one hook to its end.
func (r *runner) runHook(ctx context.Context, st *step) error {
	id, err := r.beginHook(ctx, st)
	if err != nil {
		return about("container", st.name, err)
	}
	code, err := r.outcome(ctx, st, id)
	switch {
	case err == nil && code != 0:
		return errs.New(errs.Conflict, "service %s is not started: its pre_start %d ended with exit code %d; see `lus logs %s`", st.service.Name, st.hook, code, st.name)
	case err != nil && ctx.Err() == nil:
		return about("container", st.name, err)
	}
	// Who cuts it short wants nothing of it to go on.
	gone := r.Engine.RemoveContainer(context.WithoutCancel(ctx), id, container.RemoveOptions{Force: true, Volumes: true})
	return errors.Join(err, about("container", st.name, ignore(gone, errs.NotFound)))
}

// beginHook makes and starts a hook's container, in place of one that is left
// from before.
func (r *runner) beginHook(ctx context.Context, st *step) (string, error) {
	free, err := r.slot(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	old, err := r.Engine.InspectContainer(ctx, st.name, false)
	if err == nil && old.Config.Labels[compose.LabelProject] == r.project.Name && old.Config.Labels[compose.LabelHook] != "" {
		err = r.Engine.RemoveContainer(ctx, old.ID, container.RemoveOptions{Force: true, Volumes: true})
	}
	if err = ignore(err, errs.NotFound); err != nil {
		return "", err
	}
	req, err := r.hookRequest(ctx, st)
	if err != nil {
		return "", err
	}
	made, err := r.Engine.CreateContainer(ctx, st.name, req)
	if err != nil {
		return "", err
	}
	for _, w := range made.Warnings {
		r.tell(compose.Event{Warning: st.name + ": " + w})
	}
	if err := r.Engine.StartContainer(ctx, made.ID); err != nil {
		gone := r.Engine.RemoveContainer(context.WithoutCancel(ctx), made.ID, container.RemoveOptions{Force: true, Volumes: true})
		return "", errors.Join(err, gone)
	}
	return made.ID, nil
}

// hookRequest is a hook's container, with what the service's own one mounts.
func (r *runner) hookRequest(ctx context.Context, st *step) (*container.CreateRequest, error) {
	h := st.service.PreStart[st.hook]
	req, host := h.Create, *h.Create.HostConfig
	req.HostConfig, req.Labels = &host, maps.Clone(req.Labels)
	service := *st.service.Create.HostConfig
	host.VolumesFrom = append(slices.Clone(host.VolumesFrom), service.VolumesFrom...)
	slices.Sort(host.VolumesFrom)
	host.VolumesFrom = slices.Compact(host.VolumesFrom)
	if err := r.join(&host); err != nil {
		return nil, err
	}
	of, err := r.Engine.InspectContainer(ctx, r.idOf(st), false)
	if err != nil {
		return nil, err
	}
	host.Mounts = slices.Clone(host.Mounts)
	for _, m := range inherit(slices.Clone(service.Mounts), of.Mounts) {
		if !slices.ContainsFunc(host.Mounts, func(own container.Mount) bool { return own.Target == m.Target }) {
			host.Mounts = append(host.Mounts, m)
		}
	}
	req.Files, err = initial(h.Files)
	return &req, err
}

// outcome tells what a container writes and returns its exit code.
func (r *runner) outcome(ctx context.Context, st *step, id string) (int, error) {
	out := &lines{emit: func(text string) { r.tell(compose.Event{Kind: st.kind, Name: st.name, Text: text}) }, prefix: fmt.Sprintf("%s pre_start[%d] | ", st.service.Name, st.hook)}
	if err := r.follow(ctx, id, out); err != nil {
		return 0, err
	}
	out.flush()
	for {
		changed, more := r.watch.next(id)
		c, err := r.Engine.InspectContainer(ctx, id, false)
		if err != nil {
			return 0, err
		}
		if c.State.Status == container.Exited || c.State.Status == container.Dead {
			return c.State.ExitCode, nil
		}
		if !more {
			return 0, errs.New(errs.Unavailable, "the engine stopped telling of it")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// follow copies a container's output to its end, where there is any to be had.
func (r *runner) follow(ctx context.Context, id string, w io.Writer) error {
	logs, _, err := r.Engine.Logs(ctx, id, container.LogOptions{Stdout: true, Stderr: true, Follow: true, Tail: -1})
	if err != nil {
		return ignore(err, errs.Unsupported, errs.Invalid) // another driver has it
	}
	defer func() { _ = logs.Close() }() // it was only read
	stop := context.AfterFunc(ctx, func() { _ = logs.Close() })
	defer stop()
	for {
		rec, err := logs.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		if _, err := w.Write(rec.Data); err != nil {
			return err
		}
	}
}

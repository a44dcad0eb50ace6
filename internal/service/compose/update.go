package compose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// policyOf is how a service is updated; one at a time where nothing is said.
func policyOf(u *compose.Update) compose.Update {
	if u == nil {
		return compose.Update{Parallelism: 1}
	}
	return *u
}

// update replaces the containers of a service a few at a time. Where more fail
// than may it stops there, goes on, or takes everything back, as the service
// says.
func (r *runner) update(ctx context.Context, st *step) error {
	u := &updating{runner: r, st: st, how: policyOf(st.service.Update)}
	u.keep = u.how.FailureAction == compose.OnFailureRollback
	for i, batch := range batches(st.replicas, u.how.Parallelism) {
		if i > 0 {
			if err := pause(ctx, u.how.Delay); err != nil {
				return err
			}
		}
		u.each(ctx, batch)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if float64(len(u.failed)) <= u.how.MaxFailureRatio*float64(len(st.replicas)) || u.how.FailureAction == compose.OnFailureContinue {
			continue
		}
		err := errs.New(errs.Conflict, "service %s: %w", st.service.Name, errors.Join(u.failed...))
		if !u.keep {
			return errs.New(errs.Conflict, "%w; what was not replaced yet runs on as it was", err)
		}
		if back := u.back(ctx); back != nil {
			return errors.Join(err, errs.New(errs.KindOf(back), "and it could not be taken back: %w", back))
		}
		return &rolledBack{err}
	}
	u.forget(ctx)
	for _, err := range u.failed {
		r.tell(compose.Event{Warning: fmt.Sprintf("service %s: %v", st.service.Name, err)})
	}
	return nil
}

func batches(all []replica, size int) [][]replica {
	if size <= 0 {
		size = len(all)
	}
	return slices.Collect(slices.Chunk(all, max(size, 1)))
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// updating is one update under way.
type updating struct {
	*runner
	st   *step
	how  compose.Update
	keep bool // old containers stay, stopped, until all is well

	mu     sync.Mutex
	begun  []*swap
	failed []error
}

// swap is one container in place of another.
type swap struct {
	replica
	name   string // the one that both want
	newID  string
	parked bool // the old one is stopped and has given its name away
	gone   bool // the new one is removed again
}

func (u *updating) each(ctx context.Context, batch []replica) {
	var wg sync.WaitGroup
	for _, rep := range batch {
		wg.Go(func() {
			s := &swap{replica: rep, name: containerName(u.project.Name, u.st.service, rep.number)}
			u.mu.Lock()
			u.begun = append(u.begun, s)
			u.mu.Unlock()
			began := time.Now()
			for _, why := range rep.reasons {
				u.tell(compose.Event{Text: " " + s.name + " is replaced: " + why + "\n"})
			}
			err := u.swap(ctx, s)
			status := "Recreated"
			if err != nil {
				status = "Error"
				u.mu.Lock()
				u.failed = append(u.failed, about("container", s.name, err))
				u.mu.Unlock()
			}
			u.tell(compose.Event{Kind: "Container", Name: s.name, Status: status, Done: true, Took: time.Since(began)})
		})
	}
	wg.Wait()
}

// swap replaces one container.
func (u *updating) swap(ctx context.Context, s *swap) error {
	st := &step{action: compose.CreateContainer, kind: "Container", name: s.name, service: u.st.service, number: s.number, imageID: u.st.imageID, old: s.old}
	if err := u.slotted(ctx, func() error { return u.create(ctx, st) }); err != nil {
		return err
	}
	s.newID = u.idOf(st)
	if u.how.StartFirst {
		if err := u.startNew(ctx, s); err != nil {
			// The old one serves on: what failed must not be taken for it later.
			return errors.Join(err, u.discard(ctx, s))
		}
		return u.park(ctx, s)
	}
	if err := u.park(ctx, s); err != nil {
		return err
	}
	return u.startNew(ctx, s)
}

// startNew starts the new container and waits until it is ready, and has been
// for as long as it is watched.
func (u *updating) startNew(ctx context.Context, s *swap) error {
	for i, h := range u.st.service.PreStart {
		if !h.PerReplica {
			continue
		}
		st := &step{kind: "Container", name: hookName(u.project.Name, u.st.service, i, s.number), service: u.st.service, number: s.number, hook: i}
		if err := u.runHook(ctx, st); err != nil {
			return err
		}
	}
	if err := u.slotted(ctx, func() error { return u.Engine.StartContainer(ctx, s.newID) }); err != nil {
		return err
	}
	if err := u.hooks(ctx, s.newID, "post_start", u.st.service.PostStart); err != nil {
		return err
	}
	return u.holds(ctx, s.newID, u.how.Monitor)
}

// holds returns once a container runs, and is healthy where it can say so, and
// has stayed so for a time.
func (r *runner) holds(ctx context.Context, id string, monitor time.Duration) error {
	var until <-chan time.Time
	for {
		changed, more := r.watch.next(id)
		c, err := r.Engine.InspectContainer(ctx, id, false)
		if err != nil {
			return err
		}
		_, ready, err := holds(runningOrHealthy, c)
		if err != nil {
			return err
		}
		if until != nil && !ready && !c.State.Running() {
			return errs.New(errs.Conflict, "ended (%d) while it was watched; see `lus logs %s`", c.State.ExitCode, c.Name)
		}
		if ready && until == nil {
			if c.State.Health == nil {
				monitor = max(monitor, steady-time.Since(c.State.StartedAt))
			}
			if monitor <= 0 {
				return nil
			}
			t := time.NewTimer(monitor)
			defer t.Stop()
			until = t.C
		}
		if !more {
			return errs.New(errs.Unavailable, "the engine stopped telling of container %s", c.Name)
		}
		select {
		case <-changed:
		case <-until:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// park drains and stops the old container and gives its name to the new one.
// Where all may be taken back it stays; else it is removed.
func (u *updating) park(ctx context.Context, s *swap) error {
	if s.old.State.Running() {
		if err := ignore(u.Engine.DrainContainer(ctx, s.old.ID, u.patience(s.old)), errs.NotFound); err != nil {
			return err
		}
		if err := u.stop(ctx, &step{old: s.old, timeout: u.st.timeout}); err != nil {
			return err
		}
	}
	if u.keep {
		if err := u.named(ctx, s.old.ID, ids.Short(s.newID)+"_"+s.name); err != nil {
			return err
		}
		s.parked = true
	} else if err := u.removeOne(ctx, s.old.ID); err != nil {
		return err
	}
	return u.named(ctx, s.newID, s.name)
}

// patience is how long connections to a container may take to end: as long as
// it may take to stop.
func (u *updating) patience(c *container.Container) time.Duration {
	seconds := 10
	if c.Config.StopTimeout != nil {
		seconds = *c.Config.StopTimeout
	}
	if u.st.timeout != nil {
		seconds = *u.st.timeout
	}
	return time.Duration(max(seconds, 0)) * time.Second
}

// named gives a container a name, unless it has it.
func (r *runner) named(ctx context.Context, id, name string) error {
	c, err := r.Engine.InspectContainer(ctx, id, false)
	if err != nil || c.Name == name {
		return err
	}
	return r.Engine.RenameContainer(ctx, id, name)
}

func (r *runner) removeOne(ctx context.Context, id string) error {
	return r.slotted(ctx, func() error {
		return ignore(r.Engine.RemoveContainer(ctx, id, container.RemoveOptions{Force: true}), errs.NotFound)
	})
}

// slotted does something that takes a place among those who work on containers.
func (r *runner) slotted(ctx context.Context, do func() error) error {
	free, err := r.slot(ctx)
	if err != nil {
		return err
	}
	defer free()
	return do()
}

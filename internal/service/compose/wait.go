package compose

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/filter"
)

// runningOrHealthy is the condition of --wait.
const runningOrHealthy = "running_or_healthy"

// steady is how long a container without a healthcheck must have run before
// --wait believes that it does: most of those that cannot run end sooner. It is
// as long as docker compose waits before it looks at all.
const steady = 500 * time.Millisecond

// confirmAll looks at everything once more when --wait has seen it well: what
// was well first may have ended while others were waited for.
const confirmAll compose.Action = "confirm"

// confirm plans that look, after these waits.
func (p *plan) confirm(waits map[string]*step) {
	var after []*step
	for _, key := range slices.Sorted(maps.Keys(waits)) {
		if w := waits[key]; w.condition == runningOrHealthy {
			after = append(after, w)
		}
	}
	if len(after) > 0 {
		p.add(&step{action: confirmAll, kind: "Project", after: after, part: true})
	}
}

// confirmed returns once all that was waited for is well at the same time.
func (r *runner) confirmed(ctx context.Context, st *step) error {
	for well := false; !well; {
		well = true
		for _, w := range st.after {
			c, err := r.Engine.InspectContainer(ctx, r.idOf(w), false)
			if err != nil {
				return about("container", w.name, err)
			}
			if _, met, err := holds(w.condition, c); err == nil && met {
				continue
			}
			well = false
			if _, err := r.wait(ctx, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// watch hears of a project's containers and wakes those who wait for one.
type watch struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	waiting map[string]chan struct{} // container id -> closed at its next event
	over    bool
}

// watchProject listens from now on, so a look after it misses nothing.
func (s *Service) watchProject(ctx context.Context, project string) (*watch, error) {
	ctx, cancel := context.WithCancel(ctx)
	events, err := s.Engine.Events(ctx, time.Time{}, time.Time{}, filter.Filters{
		"type": {"container"}, "label": {compose.LabelProject + "=" + project},
	})
	if err != nil {
		cancel()
		return nil, err
	}
	w := &watch{cancel: cancel, done: make(chan struct{}), waiting: map[string]chan struct{}{}}
	go func() {
		defer close(w.done)
		for e := range events {
			w.wake(e.Actor.ID)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.over = true
		for id, c := range w.waiting {
			close(c)
			delete(w.waiting, id)
		}
	}()
	return w, nil
}

func (w *watch) close() {
	w.cancel()
	<-w.done
}

func (w *watch) wake(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.waiting[id]; ok {
		close(c)
		delete(w.waiting, id)
	}
}

// next returns a channel that is closed at the container's next event; false
// where no more will come.
func (w *watch) next(id string) (<-chan struct{}, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.waiting[id]
	if c == nil {
		c = make(chan struct{})
		w.waiting[id] = c
	}
	return c, !w.over
}

// wait holds until the step's condition holds for its container, or cannot.
func (r *runner) wait(ctx context.Context, st *step) (string, error) {
	id := r.idOf(st)
	if st.within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, st.within, errs.New(errs.Unavailable, "container %s is not ready after %s (--wait-timeout); see `lus inspect %s`", st.name, st.within, st.name))
		defer cancel()
	}
	for {
		changed, more := r.watch.next(id)
		c, err := r.Engine.InspectContainer(ctx, id, false)
		if err != nil {
			return "", about("container", st.name, err)
		}
		status, holds, err := holds(st.condition, c)
		if err != nil {
			return "", errs.New(errs.Conflict, "dependency failed to start: container %s %w", st.name, err)
		}
		var later <-chan time.Time
		if left := steady - time.Since(c.State.StartedAt); holds && st.condition == runningOrHealthy && c.State.Health == nil && left > 0 {
			holds, later = false, time.After(left)
		}
		if holds {
			return status, nil
		}
		if !more {
			return "", errs.New(errs.Unavailable, "the engine stopped telling of container %s", st.name)
		}
		select {
		case <-changed:
		case <-later:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// holds says whether a condition is met, and why it never will be.
func holds(condition string, c *container.Container) (status string, met bool, err error) {
	// A container that its restart policy brings back may still get there.
	again := c.State.Status == container.Restarting
	ended := c.State.Status == container.Exited || c.State.Status == container.Dead
	switch condition {
	case compose.ServiceCompleted:
		if ended && c.State.ExitCode == 0 {
			return "Exited", true, nil
		}
		if ended {
			return "", false, errs.New(errs.Conflict, "didn't complete successfully: exit %d; see `lus logs %s`", c.State.ExitCode, c.Name)
		}
		return "", false, nil
	case compose.ServiceHealthy, runningOrHealthy:
		if ended && !again {
			return "", false, errs.New(errs.Conflict, "exited (%d); see `lus logs %s`", c.State.ExitCode, c.Name)
		}
		if c.State.Health == nil {
			if condition == compose.ServiceHealthy {
				return "", false, errs.New(errs.Invalid, "has no healthcheck configured; give its service a healthcheck, or wait for service_started")
			}
			return "Running", c.State.Running(), nil
		}
		switch c.State.Health.Status {
		case container.Healthy:
			return "Healthy", true, nil
		case container.Unhealthy:
			return "", false, errs.New(errs.Conflict, "is unhealthy; see `lus inspect %s` for what its healthcheck printed", c.Name)
		}
		return "", false, nil
	}
	return "", false, errs.New(errs.Invalid, "is waited for by an unknown condition %q", condition)
}

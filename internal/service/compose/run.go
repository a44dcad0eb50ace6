package compose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// runner carries out one plan.
type runner struct {
	*Service
	project *compose.Project
	tell    Tell
	watch   *watch
	// slots bounds how many containers are made, started and removed at once:
	// more than a few times the cores only makes each of them slower.
	slots chan struct{}

	mu  sync.Mutex
	ids map[string]string // "service/number" -> container id
}

// run carries out the plan: each step as soon as all before it are done. The
// first failure ends the rest; run returns when nothing goes on any more.
func (s *Service) run(ctx context.Context, project *compose.Project, p *plan, tell Tell) error {
	if len(p.steps) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &runner{
		Service: s, project: project, tell: tell,
		slots: make(chan struct{}, places(project.Parallel, len(p.steps))),
		ids:   maps.Clone(p.known),
	}
	if r.ids == nil {
		r.ids = map[string]string{}
	}
	for _, st := range p.steps {
		if st.old != nil && st.service != nil && st.action != compose.CreateContainer {
			r.remember(st, st.old.ID)
		}
	}
	if needsWatch(p) {
		w, err := s.watchProject(ctx, project.Name)
		if err != nil {
			return err
		}
		r.watch = w
		defer w.close()
	}
	var wg sync.WaitGroup
	done := make(map[*step]chan struct{}, len(p.steps))
	for _, st := range p.steps {
		done[st] = make(chan struct{})
	}
	for _, st := range p.steps {
		wg.Go(func() {
			for _, before := range st.after {
				select {
				case <-done[before]:
				case <-ctx.Done():
					return
				}
			}
			if err := r.step(ctx, st); err != nil {
				cancel(err)
				return // done stays open: what comes after does not happen
			}
			close(done[st])
		})
	}
	wg.Wait()
	if ctx.Err() == nil {
		return nil
	}
	err := context.Cause(ctx)
	if left := r.leavePassing(context.WithoutCancel(ctx), p); left != nil {
		err = errors.Join(err, left)
	}
	return err
}

// leavePassing removes what was made for a `compose run` that comes to nothing:
// nobody starts it any more.
func (r *runner) leavePassing(ctx context.Context, p *plan) error {
	var failed []error
	for _, st := range p.steps {
		if st.action != compose.CreateContainer || !passing(*st.service) {
			continue
		}
		if id := r.idOf(st); id != "" {
			gone := r.Engine.RemoveContainer(ctx, id, container.RemoveOptions{Force: true, Volumes: true})
			failed = append(failed, about("container", st.name, ignore(gone, errs.NotFound)))
		}
	}
	return errors.Join(failed...)
}

// places is how many steps may go on at once.
func places(parallel, steps int) int {
	switch {
	case parallel > 0:
		return parallel
	case parallel < 0:
		return steps
	}
	return 4 * runtime.NumCPU()
}

func needsWatch(p *plan) bool {
	for _, st := range p.steps {
		if st.action == waitFor || st.action == updateService || st.action == compose.RunHook {
			return true
		}
	}
	return false
}

// words are what is told of an action: while it goes on, and when it is done.
func words(a compose.Action) (doing, did string) {
	switch a {
	case compose.CreateNetwork, compose.CreateVolume, compose.CreateContainer:
		return "Creating", "Created"
	case compose.StartContainer:
		return "Starting", "Started"
	case compose.StopContainer:
		return "Stopping", "Stopped"
	case compose.RemoveContainer, compose.RemoveNetwork, compose.RemoveVolume, compose.RemoveImage:
		return "Removing", "Removed"
	case compose.PullImage:
		return "Pulling", "Pulled"
	case compose.BuildImage:
		return "Building", "Built"
	case compose.Keep:
		return "", "Running"
	case compose.RunHook:
		return "Running", "Completed"
	case renewNetwork:
		return "Recreating", "Recreated"
	case connectContainer:
		return "Connecting", "Connected"
	case renameContainer, updated, confirmAll:
		return "", ""
	case updateService:
		return "Updating", "Updated"
	}
	return "Waiting", "Ready"
}

// step carries out one step and tells of it.
func (r *runner) step(ctx context.Context, st *step) error {
	doing, did := words(st.action)
	if st.action == compose.CreateContainer && st.old != nil {
		doing, did = "Recreating", "Recreated"
	}
	if st.pullFirst {
		doing, _ = words(compose.PullImage)
	}
	for _, why := range st.reasons {
		r.tell(compose.Event{Text: " " + st.name + " is replaced: " + why + "\n"})
	}
	if doing != "" {
		r.tell(compose.Event{Kind: st.kind, Name: st.name, Status: doing})
	}
	began := time.Now()
	status, err := r.act(ctx, st)
	if err != nil && st.optional && ctx.Err() == nil {
		why := fmt.Sprintf("%v; its dependents start all the same (required: false)", err)
		if st.action != waitFor {
			why = err.Error()
		}
		r.tell(compose.Event{Warning: why})
		status, err = "Skipped", nil
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			r.tell(compose.Event{Kind: st.kind, Name: st.name, Status: "Error", Done: true, Took: time.Since(began)})
		}
		return err
	}
	if status != "" {
		did = status
	}
	if did == "" {
		return nil
	}
	r.tell(compose.Event{Kind: st.kind, Name: st.name, Status: did, Done: true, Took: time.Since(began)})
	return nil
}

// slot takes a place among those who work on containers.
func (r *runner) slot(ctx context.Context) (free func(), err error) {
	select {
	case r.slots <- struct{}{}:
		return func() { <-r.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

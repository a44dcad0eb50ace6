package engine

import (
	"context"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// WaitContainer gives how the container ended, once it has.
func (e *Engine) WaitContainer(ctx context.Context, name, condition string) (<-chan container.Exit, error) {
	u, err := e.find(name)
	if err != nil {
		return nil, err
	}
	out := make(chan container.Exit, 1)
	u.mu.Lock()
	r, last := u.run, u.last
	active := u.rec.State.Running() || u.launching || u.rec.State.Status == container.Restarting
	u.mu.Unlock()
	switch condition {
	case "", "not-running":
		if !active {
			out <- last
			return out, nil
		}
		go e.waitStopped(ctx, u, r, out)
	case "next-exit":
		go func() {
			select {
			case <-r.ended:
				out <- r.exit
			case <-ctx.Done():
			}
		}()
	case "removed":
		go func() {
			select {
			case <-u.gone:
				u.mu.Lock()
				defer u.mu.Unlock()
				out <- u.last
			case <-ctx.Done():
			}
		}()
	default:
		return nil, errs.New(errs.Invalid, "invalid condition: %q", condition)
	}
	return out, nil
}

// waitStopped waits until the container neither runs nor is about to.
func (e *Engine) waitStopped(ctx context.Context, u *unit, r *run, out chan<- container.Exit) {
	for {
		select {
		case <-r.ended:
		case <-u.gone:
		case <-ctx.Done():
			return
		}
		u.mu.Lock()
		again := u.rec.State.Status == container.Restarting && !u.removed
		r = u.run
		last := u.last
		u.mu.Unlock()
		if !again {
			out <- last
			return
		}
	}
}

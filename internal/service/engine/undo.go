package engine

import (
	"context"
	"errors"
	"sync"
)

// undo is what to do, last first, when a start fails half-way. Steps may be
// added from several goroutines.
type undo struct {
	mu    sync.Mutex
	steps []func(context.Context) error
}

func (u *undo) add(fn func(context.Context) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, fn)
}

// take takes over the steps of another.
func (u *undo) take(other *undo) {
	other.mu.Lock()
	steps := other.steps
	other.steps = nil
	other.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, steps...)
}

// all undoes everything, whatever fails.
func (u *undo) all(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var failed []error
	for i := len(u.steps) - 1; i >= 0; i-- {
		failed = append(failed, u.steps[i](ctx))
	}
	u.steps = nil
	return errors.Join(failed...)
}

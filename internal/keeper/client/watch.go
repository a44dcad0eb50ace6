package client

import (
	"context"
	"os"
	"runtime"
	"sync"

	"lus/internal/base/errs"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
)

// watch is a queue without bounds, so that a slow callback does not hold up
// other answers.
type watch struct {
	mu    sync.Mutex
	queue []task.Status
	wake  chan struct{} // holds one token
}

func (w *watch) push(s task.Status) {
	w.mu.Lock()
	w.queue = append(w.queue, s)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watch) take() []task.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queue
	w.queue = nil
	return q
}

// Watch calls fn for each end of a process, at least once, from this goroutine
// and in order, beginning with those not acknowledged yet. It returns when ctx
// ends, and with Unavailable when the connection does. One Watch per Client.
func (c *Client) Watch(ctx context.Context, fn func(task.Status)) error {
	w := &watch{wake: make(chan struct{}, 1)}
	c.mu.Lock()
	if len(c.watches) > 0 {
		c.mu.Unlock()
		return errs.New(errs.Conflict, "this connection to the keeper is watched already")
	}
	c.nextID++
	id := c.nextID
	c.watches[id] = w
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.watches, id)
		c.mu.Unlock()
	}()
	if _, err := c.call(ctx, wire.Request{ID: id, Op: wire.Watch}); err != nil {
		return err
	}
	for {
		for _, s := range w.take() {
			fn(s)
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.done:
			for _, s := range w.take() {
				fn(s)
			}
			return c.reason()
		}
	}
}

// rawFD is a file's descriptor, without making it blocking as File.Fd does.
func rawFD(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, errs.New(errs.Invalid, "a file for the keeper is closed: %w", err)
	}
	fd := -1
	if err := raw.Control(func(p uintptr) { fd = int(p) }); err != nil {
		return -1, errs.New(errs.Invalid, "a file for the keeper is closed: %w", err)
	}
	return fd, nil
}

// keepAlive keeps a file from being closed by the garbage collector while only
// its number is in use.
func keepAlive(f *os.File) { runtime.KeepAlive(f) }

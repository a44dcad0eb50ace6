package engine

import (
	"context"
	"sync"
)

// deferred runs what nobody waits for. settle is the barrier for those who do.
type deferred struct {
	mu     sync.Mutex
	count  int
	idle   chan struct{} // closed when count falls to zero; nil while nobody waits
	closed bool
}

// do runs fn in a goroutine of its own. After close it is run at once.
func (d *deferred) do(fn func()) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		fn()
		return
	}
	d.count++
	d.mu.Unlock()
	go func() {
		defer d.done()
		fn()
	}()
}

func (d *deferred) done() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count--
	if d.count == 0 && d.idle != nil {
		close(d.idle)
		d.idle = nil
	}
}

// settle returns once nothing is running.
func (d *deferred) settle(ctx context.Context) error {
	d.mu.Lock()
	if d.count == 0 {
		d.mu.Unlock()
		return nil
	}
	if d.idle == nil {
		d.idle = make(chan struct{})
	}
	idle := d.idle
	d.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close waits for the rest; what comes later runs in its caller's goroutine.
func (d *deferred) close() {
	_ = d.settle(context.Background()) // cannot fail: that context never ends
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	_ = d.settle(context.Background())
}

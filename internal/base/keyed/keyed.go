// Package keyed has locks by key.
package keyed

import (
	"context"
	"sync"
)

// Lock is a lock per key for which one can stop waiting; the zero value is ready.
type Lock[K comparable] struct {
	mu    sync.Mutex
	locks map[K]*turn
}

type turn struct {
	free  chan struct{} // holds one token while nobody has the lock
	users int
}

// Lock waits for key's turn, or for the end of ctx.
func (l *Lock[K]) Lock(ctx context.Context, key K) (unlock func(), err error) {
	l.mu.Lock()
	if l.locks == nil {
		l.locks = map[K]*turn{}
	}
	t := l.locks[key]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		l.locks[key] = t
	}
	t.users++
	l.mu.Unlock()

	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(l.locks, key)
		}
	}
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

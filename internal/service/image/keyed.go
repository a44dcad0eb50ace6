package image

import (
	"context"
	"sync"
)

// keyed is a lock per key for which one can stop waiting; the zero value is
// ready.
type keyed struct {
	mu    sync.Mutex
	locks map[string]*turn
}

type turn struct {
	free  chan struct{} // holds one token while nobody has the lock
	users int
}

// lock waits for key's turn, or for the end of ctx.
func (k *keyed) lock(ctx context.Context, key string) (unlock func(), err error) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*turn{}
	}
	t := k.locks[key]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		k.locks[key] = t
	}
	t.users++
	k.mu.Unlock()

	leave := func() {
		k.mu.Lock()
		if t.users--; t.users == 0 {
			delete(k.locks, key)
		}
		k.mu.Unlock()
	}
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

package account

import (
	"context"
	"net/netip"
	"sync"
)

// turns lets one at a time through of those who come under one name from one
// address; the zero value is ready.
type turns struct {
	mu    sync.Mutex
	lines map[comer]*line
}

// comer is a name shown at an address.
type comer struct {
	name string
	from netip.Addr
}

type line struct {
	free  chan struct{} // holds one token while it is nobody's turn
	users int
}

// take waits for its turn, or for the end of ctx.
func (t *turns) take(ctx context.Context, c comer) (leave func(), err error) {
	t.mu.Lock()
	if t.lines == nil {
		t.lines = map[comer]*line{}
	}
	l := t.lines[c]
	if l == nil {
		l = &line{free: make(chan struct{}, 1)}
		l.free <- struct{}{}
		t.lines[c] = l
	}
	l.users++
	t.mu.Unlock()

	gone := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(t.lines, c)
		}
	}
	select {
	case <-l.free:
		return func() { l.free <- struct{}{}; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}

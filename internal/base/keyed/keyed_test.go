package keyed_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"lus/internal/base/keyed"
)

// One at a time has the lock of a key, others have those of others, and who stops
// waiting leaves the lock as it was.
func TestALockOfEachKey(t *testing.T) {
	t.Parallel()
	var locks keyed.Lock[string]
	unlock, err := locks.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := locks.Lock(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := locks.Lock(gone, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("who stopped waiting: %v", err)
	}
	in, most := 0, 0
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			unlock, err := locks.Lock(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			in++ // by one at a time, or the race detector says so
			most = max(most, in)
			in--
			unlock()
		})
	}
	unlock()
	all.Wait()
	if most != 1 {
		t.Errorf("%d had it at once", most)
	}
}

package folder

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/buildkit/util/progress"
)

// report tells a build's progress how many bytes were read, until the function
// it returns is called.
func report(ctx context.Context, id string, bytes *atomic.Int64) (end func()) {
	w, _, _ := progress.NewFromContext(ctx)
	began := time.Now()
	tell := func(completed *time.Time) {
		_ = w.Write(id, progress.Status{Action: "transferring", Started: &began, Completed: completed, Current: int(bytes.Load())})
	}
	tell(nil)
	ended := make(chan struct{})
	var teller sync.WaitGroup
	teller.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				tell(nil)
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		teller.Wait()
		now := time.Now()
		tell(&now)
		_ = w.Close()
	}
}

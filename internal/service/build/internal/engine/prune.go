package engine

import (
	"context"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
)

// Keep says what pruning leaves.
type Keep struct {
	All   bool          // leave nothing that no build uses now
	Age   time.Duration // leave what was used more recently
	Bytes int64         // leave the most recently used of this many bytes
}

// Prune drops cache records and gives their space back, as far as no image
// uses it. It returns how many bytes the dropped records held.
func (e *Engine) Prune(ctx context.Context, keep Keep) (freed int64, err error) {
	shared, err := e.worker.shared()
	if err != nil {
		return 0, err
	}
	ch := make(chan client.UsageInfo, 32)
	var counting sync.WaitGroup
	counting.Go(func() {
		for u := range ch {
			if !shared[u.ID] {
				freed += u.Size
			}
		}
	})
	info := client.PruneInfo{All: keep.All, KeepDuration: keep.Age, MaxUsedSpace: keep.Bytes}
	err = e.worker.Prune(ctx, ch, info)
	close(ch)
	counting.Wait()
	return freed, err
}

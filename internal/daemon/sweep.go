package daemon

import (
	"context"
	"log/slog"
	"time"

	"lus/internal/service/engine"
	"lus/internal/service/image"
)

// sweepEvery is how often images that no container uses any more are let go;
// what was removed in between gives its space back then. A sweep that finds
// nothing touches memory only.
const sweepEvery = 30 * time.Second

// sweep lets go of the layers that no container uses, until ctx ends.
func sweep(ctx context.Context, images *image.Service, eng *engine.Engine, log *slog.Logger) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := images.Sweep(ctx, eng.UsedImages()); err != nil && ctx.Err() == nil {
			log.Warn("letting go of images that nobody uses", "error", err)
		}
	}
}

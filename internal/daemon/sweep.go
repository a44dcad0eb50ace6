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

// collectEvery is how often space is given back whose time is over: of what was
// kept for a pull to go on with, or of a layer that was packed for somebody.
const collectEvery = time.Hour

// sweep lets go of the layers that no container uses, until ctx ends.
func sweep(ctx context.Context, images *image.Service, eng *engine.Engine, log *slog.Logger) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	over := time.NewTicker(collectEvery)
	defer over.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-over.C:
			images.Collect(ctx)
			continue
		case <-tick.C:
		}
		if err := images.Sweep(ctx, eng.UsedImages()); err != nil && ctx.Err() == nil {
			log.Warn("letting go of images that nobody uses", "error", err)
		}
	}
}

package engine

import (
	"context"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/snapshot"

	"lus/internal/store/content"
)

// namedChains lets BuildKit find the layers of images that are in the store
// already. BuildKit names a layer after its chain with a prefix of its own;
// when it looks for that name, and the chain is here, the name is made: a
// second row on the same snapshot, nothing is applied.
type namedChains struct {
	snapshots.Snapshotter
	store *content.Store
}

// Stat implements snapshots.Snapshotter.
func (s namedChains) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	info, err := s.Snapshotter.Stat(ctx, key)
	if !errdefs.IsNotFound(err) {
		return info, err
	}
	chain, ok := snapshot.ParseLayerSnapshotID(key)
	if !ok {
		return info, err
	}
	known, chainErr := s.Snapshotter.Stat(ctx, chain.String())
	if chainErr != nil || known.Kind != snapshots.KindCommitted {
		return info, err
	}
	if err := s.store.NameSnapshot(ctx, key, chain.String(), known.Parent, nil); err != nil {
		return snapshots.Info{}, err
	}
	return s.Snapshotter.Stat(ctx, key)
}

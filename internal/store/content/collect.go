package content

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/errdefs"

	"lus/internal/base/ids"
)

// labelWork marks the leases of work in progress: a pull, an import. They mean
// nothing to the next process.
const labelWork = "lus/work"

// maxWork bounds how long a piece of work holds what it made should its
// release be lost.
const maxWork = 24 * time.Hour

// Lease returns a context under which everything made is kept until release
// is called. Release works after ctx has ended.
func (s *Store) Lease(ctx context.Context) (leased context.Context, release func() error, err error) {
	ctx = s.Context(ctx)
	l, err := s.leases.Create(ctx, leases.WithID("lus-work-"+ids.New()), leases.WithLabel(labelWork, "1"), leases.WithExpiration(maxWork))
	if err != nil {
		return nil, nil, fmt.Errorf("take a lease on the image store: %w", err)
	}
	release = func() error {
		err := s.leases.Delete(context.WithoutCancel(ctx), l)
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	}
	return leases.WithLease(ctx, l.ID), release, nil
}

// tidy removes what a former process left half done.
func (s *Store) tidy(ctx context.Context) error {
	left, err := s.leases.List(ctx, fmt.Sprintf("labels.%q", labelWork))
	if err != nil {
		return err
	}
	for _, l := range left {
		s.log.Info("removing what an interrupted pull or import left", "lease", l.ID)
		if err := s.leases.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	// Folders of snapshots that were being made when the power or the process
	// went: nothing can be making one now.
	err = s.backend.Cleanup(ctx)
	if errdefs.IsNotFound(err) { // no snapshot was ever made
		return nil
	}
	return err
}

// Ready allows collection of garbage. The daemon calls it once everything that
// uses images has said so.
func (s *Store) Ready() { s.ready.Store(true) }

// GarbageCollect removes what no name and no lease holds. It is the one
// collector: whoever makes garbage calls it, BuildKit included. Before Ready
// it does nothing.
func (s *Store) GarbageCollect(ctx context.Context) (gc.Stats, error) {
	s.gc.Lock()
	defer s.gc.Unlock()
	if !s.ready.Load() {
		return metadata.GCStats{}, nil
	}
	ctx = s.Context(ctx)
	if err := s.markOrphans(); err != nil {
		return nil, fmt.Errorf("collect garbage: %w", err)
	}
	stats, err := s.db.GarbageCollect(ctx)
	if err != nil {
		return nil, fmt.Errorf("collect garbage: %w", err)
	}
	if err := s.dropVirtual(ctx); err != nil {
		return nil, fmt.Errorf("forget layers that are gone: %w", err)
	}
	s.forgetHashes(ctx)
	return stats, nil
}

// markOrphans makes the first collection look at the backend too: it only does
// where a row was removed, so an orphan of a crash between the backend and its
// row would never be seen.
func (s *Store) markOrphans() error {
	if s.marked {
		return nil
	}
	ctx := s.Context(context.Background()) // not under the caller's lease
	key := "lus-start-" + ids.New()
	if _, err := s.snaps.Prepare(ctx, key, ""); err != nil {
		return err
	}
	if err := s.snaps.Remove(ctx, key); err != nil {
		return err
	}
	s.marked = true
	return nil
}

// forgetHashes drops what is known of snapshots that are gone.
func (s *Store) forgetHashes(ctx context.Context) {
	keys, err := s.BackendKeys(ctx)
	if err != nil {
		return
	}
	there := map[string]bool{}
	for _, k := range keys {
		there[k] = true
	}
	s.hashes.Range(func(k, _ any) bool {
		if !there[k.(string)] {
			s.hashes.Delete(k)
		}
		return true
	})
}

// chainLease is the lease that holds an image's chain while containers use it.
func chainLease(chain string) string { return "lus-chain-" + chain }

// labelChain marks the leases of chains and names the chain.
const labelChain = "lus/chain"

// HoldChain keeps a chain of snapshots, named by its chain id, until
// ReleaseChains names it.
func (s *Store) HoldChain(ctx context.Context, chain string) error {
	return s.update(s.Context(ctx), func(ctx context.Context) error {
		l, err := s.leases.Create(ctx, leases.WithID(chainLease(chain)), leases.WithLabel(labelChain, chain))
		if err != nil && !errdefs.IsAlreadyExists(err) {
			return err
		}
		l.ID = chainLease(chain)
		return s.leases.AddResource(ctx, l, leases.Resource{ID: chain, Type: "snapshots/" + SnapshotterName})
	})
}

// HeldChains lists the chains that are held.
func (s *Store) HeldChains(ctx context.Context) ([]string, error) {
	held, err := s.leases.List(ctx, fmt.Sprintf("labels.%q", labelChain))
	if err != nil {
		return nil, err
	}
	chains := make([]string, 0, len(held))
	for _, l := range held {
		chains = append(chains, l.Labels[labelChain])
	}
	slices.Sort(chains)
	return chains, nil
}

// ReleaseChains lets chains go; those no image needs are garbage then.
func (s *Store) ReleaseChains(ctx context.Context, chains ...string) error {
	if len(chains) == 0 {
		return nil
	}
	return s.update(s.Context(ctx), func(ctx context.Context) error {
		for _, c := range chains {
			err := s.leases.Delete(ctx, leases.Lease{ID: chainLease(c)})
			if err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
}

package content

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	if err := s.keepPartials(ctx); err != nil {
		return err
	}
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
	if errdefs.IsNotFound(err) {
		// No snapshot was ever recorded, so each folder is one of a snapshot that
		// was being made. Left there, the next of the same number would fail.
		dir := filepath.Join(s.root, SnapshotterName, "snapshots")
		return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
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

// imageLease is the lease that holds an image while containers use it.
func imageLease(id string) string { return "lus-image-" + id }

// labelImage marks the leases of images in use and names the image.
const labelImage = "lus/image"

// HoldImage keeps an image's config and its chain of snapshots, whatever
// becomes of its names, until ReleaseImages is told its id.
func (s *Store) HoldImage(ctx context.Context, id, chain string) error {
	return s.update(s.Context(ctx), func(ctx context.Context) error {
		l, err := s.leases.Create(ctx, leases.WithID(imageLease(id)), leases.WithLabel(labelImage, id))
		if err != nil && !errdefs.IsAlreadyExists(err) {
			return err
		}
		l.ID = imageLease(id)
		if err := s.leases.AddResource(ctx, l, leases.Resource{ID: id, Type: "content"}); err != nil {
			return err
		}
		return s.leases.AddResource(ctx, l, leases.Resource{ID: chain, Type: "snapshots/" + SnapshotterName})
	})
}

// HeldImages lists the ids of the images that are held.
func (s *Store) HeldImages(ctx context.Context) ([]string, error) {
	held, err := s.leases.List(ctx, fmt.Sprintf("labels.%q", labelImage))
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(held))
	for _, l := range held {
		ids = append(ids, l.Labels[labelImage])
	}
	slices.Sort(ids)
	return ids, nil
}

// ReleaseImages lets images go; those that have no name are garbage then.
func (s *Store) ReleaseImages(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	return s.update(s.Context(ctx), func(ctx context.Context) error {
		for _, id := range ids {
			err := s.leases.Delete(ctx, leases.Lease{ID: imageLease(id)})
			if err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
}

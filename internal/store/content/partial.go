package content

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

const (
	// PartialPrefix begins the ref of an ingest that somebody can go on with
	// later: what came of a blob from a registry.
	PartialPrefix = "lus-fetch-"
	// UploadPrefix begins the ref of an ingest that a client may go on with.
	UploadPrefix = "lus-upload-"
	// MinPartial is from how many bytes on that is worth keeping.
	MinPartial = 1 << 20
	// keepPartial is for how long.
	keepPartial = 24 * time.Hour
)

// labelPartial marks the leases of such ingests.
const labelPartial = "lus/partial"

func partialLease(ref string) string { return "lus-partial-" + ref }

// KeepPartial holds what came of a blob for a day, without the lease of the
// work that broke off.
func (s *Store) KeepPartial(ctx context.Context, ref string) error {
	ctx = s.Context(context.WithoutCancel(ctx))
	err := s.update(ctx, func(ctx context.Context) error {
		if err := s.leases.Delete(ctx, leases.Lease{ID: partialLease(ref)}); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		l, err := s.leases.Create(ctx, leases.WithID(partialLease(ref)), leases.WithLabel(labelPartial, "1"), leases.WithExpiration(keepPartial))
		if err != nil {
			return err
		}
		return s.leases.AddResource(ctx, l, leases.Resource{ID: ref, Type: "ingests"})
	})
	if err != nil {
		return fmt.Errorf("keep what came of a blob: %w", err)
	}
	return nil
}

// DropPartial lets go of what was kept under ref.
func (s *Store) DropPartial(ctx context.Context, ref string) error {
	err := s.leases.Delete(s.Context(context.WithoutCancel(ctx)), leases.Lease{ID: partialLease(ref)})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// DropPartials lets go of all that was kept; the next collection gives the
// space back. What a transfer works on stays.
func (s *Store) DropPartials(ctx context.Context) error {
	list, err := s.leases.List(ctx, fmt.Sprintf("labels.%q", labelPartial))
	for _, l := range list {
		if derr := s.leases.Delete(ctx, l); derr != nil && !errdefs.IsNotFound(derr) {
			err = errors.Join(err, derr)
		}
	}
	return err
}

// keepPartials holds what a former process was fetching when it ended.
func (s *Store) keepPartials(ctx context.Context) error {
	list, err := s.content.ListStatuses(ctx)
	if err != nil {
		return err
	}
	for _, st := range list {
		if !strings.HasPrefix(st.Ref, PartialPrefix) || st.Offset < MinPartial {
			continue
		}
		s.log.Info("keeping what came of a blob for the next pull", "blob", strings.TrimPrefix(st.Ref, PartialPrefix), "bytes", st.Offset)
		if err := s.KeepPartial(ctx, st.Ref); err != nil {
			return err
		}
	}
	return nil
}

// removeIngests removes what a former process left in the folder of unfinished
// blobs, but for what somebody can go on with.
func removeIngests(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		ref, rerr := os.ReadFile(filepath.Join(path, "ref"))
		if rerr == nil && (strings.Contains(string(ref), "/"+PartialPrefix) || strings.Contains(string(ref), "/"+UploadPrefix)) {
			continue
		}
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

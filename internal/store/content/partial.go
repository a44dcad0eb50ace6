package content

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
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

// Partial opens a writer for a blob and goes on with what a former one left under
// ref, which begins with PartialPrefix. Commit has the lease called hold keep the
// blob. End it with Leave.
func (s *Store) Partial(ctx context.Context, hold, ref string) (*Partial, error) {
	leased, release, err := s.Lease(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	w, err := s.content.Writer(leased, content.WithRef(ref))
	if err != nil {
		return nil, errors.Join(err, release())
	}
	return &Partial{Ingest{Writer: w, store: s, hold: hold, ref: ref}, release}, nil
}

// Partial is a blob that is being received, and may be left for later.
type Partial struct {
	Ingest
	release func() error
}

// Open opens the file that the blob is received into. It can be read also after
// the end of that.
func (p *Partial) Open() (*os.File, error) {
	dir := filepath.Join(p.store.root, "content", "ingest")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if ref, err := os.ReadFile(filepath.Join(dir, e.Name(), "ref")); err == nil && strings.HasSuffix(string(ref), "/"+p.ref) {
			return os.Open(filepath.Join(dir, e.Name(), "data"))
		}
	}
	return nil, fmt.Errorf("what comes of a blob is not in %s: %w", dir, errdefs.ErrNotFound)
}

// Leave ends the receiving. What was not committed is kept for somebody who goes on
// with it, where later says so and it is worth it.
func (p *Partial) Leave(ctx context.Context, later bool) {
	size, err := p.Size()
	_ = p.Close() // what matters was written
	if later = later && err == nil && size >= MinPartial; later {
		err = p.store.KeepPartial(ctx, p.ref)
	} else {
		p.store.DropIngest(ctx, p.hold, p.ref)
		err = p.store.DropPartial(ctx, p.ref)
	}
	if err = errors.Join(err, p.release()); err != nil {
		p.store.log.Warn("leaving what came of a blob", "ref", p.ref, "error", err)
	}
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

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
)

// attempts is how often a blob is asked for where the registry fails in a way
// that may pass.
const attempts = 4

// fetchBlob brings a blob into the store, checked against its digest and size.
// It reports whether it was there already.
func (s *Service) fetchBlob(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor, m *meter, opts ...content.Opt) (there bool, err error) {
	if err := desc.Digest.Validate(); err != nil {
		return false, errs.New(errs.Invalid, "the registry names a blob %q: %w", desc.Digest, err)
	}
	if desc.Size < 0 {
		return false, errs.New(errs.Invalid, "the registry gives blob %s a size of %d", desc.Digest, desc.Size)
	}
	// Addresses of others in a manifest would let a registry make us ask
	// anybody anything.
	desc.URLs = nil
	unlock, err := s.busy.lock(ctx, desc.Digest.String())
	if err != nil {
		return false, err
	}
	defer unlock()
	for try := 1; ; try++ {
		there, err = s.fetchOnce(ctx, f, desc, m, opts)
		if err == nil || try == attempts || !transient(err) {
			return there, err
		}
		s.log.Info("asking again for a blob", "digest", desc.Digest, "error", err)
		if err := pause(ctx, s.limits.backoff(try)); err != nil {
			return false, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service) fetchOnce(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor, m *meter, opts []content.Opt) (there bool, err error) {
	cs := s.store.ContentStore()
	ref := "lus-fetch-" + desc.Digest.String()
	w, err := content.OpenWriter(ctx, cs, content.WithRef(ref), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return true, s.addLabels(ctx, desc, opts)
	}
	if err != nil {
		return false, fmt.Errorf("store blob %s: %w", desc.Digest, err)
	}
	defer func() {
		w.Close()
		if err != nil {
			// Half a blob is worth nothing: the next try may get it from elsewhere.
			if aerr := cs.Abort(context.WithoutCancel(ctx), ref); aerr != nil && !errdefs.IsNotFound(aerr) {
				err = errors.Join(err, aerr)
			}
		}
	}()
	if err := w.Truncate(0); err != nil {
		return false, fmt.Errorf("store blob %s: %w", desc.Digest, err)
	}
	if err := s.receive(ctx, f, desc, w, m); err != nil {
		return false, err
	}
	if err := w.Commit(ctx, desc.Size, desc.Digest, opts...); err != nil && !errdefs.IsAlreadyExists(err) {
		if errdefs.IsFailedPrecondition(err) {
			return false, errs.New(errs.Unavailable, "filesystem layer verification failed for digest %s: the registry sent something else (%w): try again, or tell its owner", desc.Digest, err)
		}
		return false, fmt.Errorf("store blob %s: %w", desc.Digest, err)
	}
	return false, nil
}

// receive copies the blob from the registry.
func (s *Service) receive(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor, w io.Writer, m *meter) error {
	rc, err := f.Fetch(ctx, desc)
	if err != nil {
		return err
	}
	defer rc.Close()
	if m != nil {
		m.now, m.told = 0, 0
		w = io.MultiWriter(w, m)
	}
	n, err := io.Copy(w, rc)
	if err != nil {
		return fmt.Errorf("receive blob %s: %w", desc.Digest, err)
	}
	if desc.Size > 0 && n != desc.Size {
		return fmt.Errorf("receive blob %s: %d of %d bytes came: %w", desc.Digest, n, desc.Size, io.ErrUnexpectedEOF)
	}
	return nil
}

// brokenOff reports whether a body ended too early.
func brokenOff(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		strings.Contains(err.Error(), "connection reset") || strings.Contains(err.Error(), "server closed")
}

// addLabels adds labels to a blob that is there.
func (s *Service) addLabels(ctx context.Context, desc ocispec.Descriptor, opts []content.Opt) error {
	info := content.Info{Digest: desc.Digest}
	for _, o := range opts {
		if err := o(&info); err != nil {
			return err
		}
	}
	if len(info.Labels) == 0 {
		return nil
	}
	fields := make([]string, 0, len(info.Labels))
	for k := range info.Labels {
		fields = append(fields, "labels."+k)
	}
	_, err := s.store.ContentStore().Update(ctx, info, fields...)
	return err
}

// backoff is the pause after a try that failed.
func (l Limits) backoff(try int) time.Duration { return l.Pause << (try - 1) }

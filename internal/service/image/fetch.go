package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	store "lus/internal/store/content"
)

// attempts is how often a blob is asked for where the registry fails in a way
// that may pass.
const attempts = 4

// fetch is a blob on its way from a registry into the store.
type fetch struct {
	s    *Service
	from remotes.Fetcher
	desc ocispec.Descriptor
	m    *meter
	flow *flow // who unpacks it meanwhile, or nil
	opts []content.Opt

	flowed int64 // how much of it has gone to flow, from the beginning on
	lost   bool  // flow can have no more: bytes did not come, or came twice
}

// fetchBlob brings a blob into the store, checked against its digest and size,
// going on where a former try stopped. It reports whether it was there already.
func (s *Service) fetchBlob(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor, m *meter, opts ...content.Opt) (there bool, err error) {
	there, _, err = s.fetchFlowing(ctx, f, desc, m, nil, opts...)
	return there, err
}

// fetchFlowing is fetchBlob that hands what comes to flow as well. Whether all
// of it came that way, it tells in the end.
func (s *Service) fetchFlowing(ctx context.Context, from remotes.Fetcher, desc ocispec.Descriptor, m *meter, to *flow, opts ...content.Opt) (there, flowed bool, err error) {
	if err := desc.Digest.Validate(); err != nil {
		return false, false, errs.New(errs.Invalid, "the registry names a blob %q: %w", desc.Digest, err)
	}
	if desc.Size < 0 {
		return false, false, errs.New(errs.Invalid, "the registry gives blob %s a size of %d", desc.Digest, desc.Size)
	}
	// Addresses of others in a manifest would let a registry make us ask
	// anybody anything.
	desc.URLs = nil
	unlock, err := s.busy.Lock(ctx, desc.Digest.String())
	if err != nil {
		return false, false, err
	}
	defer unlock()
	f := &fetch{s: s, from: from, desc: desc, m: m, flow: to, lost: to == nil, opts: opts}
	for try := 1; ; try++ {
		there, err = f.once(ctx)
		if err == nil || try == attempts || !transient(err) {
			break
		}
		s.log.Info("asking again for a blob", "digest", desc.Digest, "error", err)
		notice(ctx, s.limits.backoff(try))
		if perr := pause(ctx, s.limits.backoff(try)); perr != nil {
			err = perr
			break
		}
	}
	if err != nil {
		f.leave(ctx, err)
	}
	return there, err == nil && !there && !f.lost, err
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

// ref names what there is of the blob in the store.
func (f *fetch) ref() string { return store.PartialPrefix + f.desc.Digest.String() }

// errRestart: what was there before does not fit what came now.
var errRestart = fmt.Errorf("the beginning of the blob was not what it should be: %w", io.ErrUnexpectedEOF)

func (f *fetch) once(ctx context.Context) (there bool, err error) {
	cs, desc := f.s.store.ContentStore(), f.desc
	w, err := content.OpenWriter(ctx, cs, content.WithRef(f.ref()), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		f.dropRemains(ctx)
		return true, f.s.addLabels(ctx, desc, f.opts)
	}
	if err != nil {
		return false, fmt.Errorf("store blob %s: %w", desc.Digest, err)
	}
	defer w.Close()
	st, err := w.Status()
	if err != nil {
		return false, err
	}
	have := st.Offset
	if have > desc.Size {
		if err := w.Truncate(0); err != nil {
			return false, fmt.Errorf("store blob %s: %w", desc.Digest, err)
		}
		have = 0
	}
	f.lost = f.lost || have != f.flowed
	if have < desc.Size || desc.Size == 0 {
		err := f.receive(ctx, w, have)
		if have > 0 && unsatisfiable(err) {
			f.abort(ctx)
			return false, errRestart
		}
		if err != nil {
			return false, err
		}
	}
	err = w.Commit(ctx, desc.Size, desc.Digest, f.opts...)
	switch {
	case err == nil || errdefs.IsAlreadyExists(err):
		if have > 0 {
			err = f.s.store.DropPartial(ctx, f.ref())
		}
		return false, ignoreExists(err)
	case errdefs.IsFailedPrecondition(err) && have > 0:
		f.abort(ctx)
		return false, errRestart
	case errdefs.IsFailedPrecondition(err):
		return false, errs.New(errs.Unavailable, "filesystem layer verification failed for digest %s: the registry sent something else (%w): try again, or tell its owner", desc.Digest, err)
	}
	return false, fmt.Errorf("store blob %s: %w", desc.Digest, err)
}

// unsatisfiable reports whether the registry does not give the rest of a blob.
func unsatisfiable(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	return errors.As(err, &status) && status.StatusCode == http.StatusRequestedRangeNotSatisfiable
}

func ignoreExists(err error) error {
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// leave decides what becomes of the part that came: where the rest may come
// later it is kept, if it is worth it.
func (f *fetch) leave(ctx context.Context, err error) {
	st, serr := f.s.store.ContentStore().Status(context.WithoutCancel(ctx), f.ref())
	var status remoteerrors.ErrUnexpectedStatus
	later := transient(err) || errors.As(err, &status) && busy(status.StatusCode) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if serr == nil && later && !full(err) && st.Offset >= store.MinPartial {
		if kerr := f.s.store.KeepPartial(ctx, f.ref()); kerr == nil {
			return
		}
	}
	f.abort(ctx)
}

// dropRemains drops what a pull that was cut short left of a blob that came whole
// by another way: the registry of this host fetches into the same store.
func (f *fetch) dropRemains(ctx context.Context) {
	if _, err := f.s.store.ContentStore().Status(ctx, f.ref()); err != nil {
		return // the usual: there is nothing
	}
	f.abort(ctx)
	if err := f.s.store.DropPartial(ctx, f.ref()); err != nil {
		f.s.log.Warn("dropping a part of a blob", "digest", f.desc.Digest, "error", err)
	}
}

// abort drops what came of the blob.
func (f *fetch) abort(ctx context.Context) {
	err := f.s.store.ContentStore().Abort(context.WithoutCancel(ctx), f.ref())
	if err != nil && !errdefs.IsNotFound(err) {
		f.s.log.Warn("dropping a part of a blob", "digest", f.desc.Digest, "error", err)
	}
}

// receive copies the blob from the registry, but for what is there of it.
func (f *fetch) receive(ctx context.Context, w content.Writer, have int64) error {
	rc, err := f.from.Fetch(ctx, f.desc)
	if err != nil {
		return err
	}
	defer rc.Close()
	if have > 0 {
		seeker, ok := rc.(io.Seeker)
		if !ok {
			return fmt.Errorf("receive blob %s: the rest of it cannot be asked for", f.desc.Digest)
		}
		if _, err := seeker.Seek(have, io.SeekStart); err != nil {
			return fmt.Errorf("receive blob %s: %w", f.desc.Digest, err)
		}
	}
	if f.m != nil {
		f.m.now, f.m.told = have, have
	}
	n, err := io.CopyBuffer(writerFunc(func(p []byte) (int, error) { return f.took(w, p) }), rc, make([]byte, flowChunk))
	if err != nil {
		return fmt.Errorf("receive blob %s: %w", f.desc.Digest, err)
	}
	if f.desc.Size > 0 && have+n != f.desc.Size {
		return fmt.Errorf("receive blob %s: %d of %d bytes came: %w", f.desc.Digest, have+n, f.desc.Size, io.ErrUnexpectedEOF)
	}
	return nil
}

// took stores what came and hands it on.
func (f *fetch) took(w io.Writer, p []byte) (int, error) {
	n, err := w.Write(p)
	if err != nil {
		return n, err
	}
	if f.m != nil {
		_, _ = f.m.Write(p)
	}
	if !f.lost {
		_, _ = f.flow.Write(p)
		f.flowed += int64(n)
	}
	return n, nil
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

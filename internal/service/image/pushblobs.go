package image

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// blobs sends config and layers, a few at a time.
func (p *push) blobs(ctx context.Context, m *ocispec.Manifest) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, l := range m.Layers {
		p.to.layer(p.id(l.Digest), "Waiting")
	}
	sent := map[digest.Digest]bool{}
	for _, l := range append(slices.Clone(m.Layers), m.Config) {
		if sent[l.Digest] {
			continue
		}
		sent[l.Digest] = true
		if images.IsNonDistributable(l.MediaType) && len(l.URLs) > 0 {
			p.to.layer(p.id(l.Digest), "Skipped foreign layer")
			continue
		}
		group.Go(func() error { return p.blob(ctx, l, l.Digest == m.Config.Digest) })
	}
	return group.Wait()
}

// blob sends one blob, again where it fails in a way that may pass.
func (p *push) blob(ctx context.Context, l ocispec.Descriptor, quiet bool) error {
	for try := 1; ; try++ {
		err := p.once(ctx, l, quiet)
		if err == nil || try == attempts || unreachable(err) || !transient(err) {
			return err
		}
		if err := pause(ctx, p.s.limits.backoff(try)); err != nil {
			return err
		}
	}
}

func (p *push) once(ctx context.Context, l ocispec.Descriptor, quiet bool) error {
	id := p.id(l.Digest)
	say := func(status string) {
		if !quiet {
			p.to.layer(id, status)
		}
	}
	l.Annotations = p.sources(ctx, l)
	w, err := p.pusher.Push(ctx, l)
	if errdefs.IsAlreadyExists(err) {
		if st, serr := p.tracker.GetStatus(remotes.MakeRefKey(ctx, l)); serr == nil && st.MountedFrom != "" {
			say("Mounted from " + strings.TrimPrefix(st.MountedFrom, reference.Domain(p.named)+"/"))
		} else {
			say("Layer already exists")
		}
		return p.note(ctx, l)
	}
	if err != nil {
		return err
	}
	defer w.Close()
	r, err := p.s.store.ContentStore().ReaderAt(ctx, l)
	if err != nil {
		return err
	}
	defer r.Close()
	m := &meter{to: p.to, id: id, status: "Pushing", total: l.Size}
	to := writerFunc(func(b []byte) (int, error) {
		n, err := w.Write(b)
		if !quiet {
			_, _ = m.Write(b[:n])
		}
		return n, err
	})
	if err := upload(ctx, w, l, func() error {
		m.now, m.told = 0, 0
		return copyTo(to, io.NewSectionReader(r, 0, l.Size), l.Size)
	}); err != nil {
		return err
	}
	say("Pushed")
	return p.note(ctx, l)
}

// bytes sends what is in memory.
func (p *push) bytes(ctx context.Context, desc ocispec.Descriptor, raw []byte) error {
	w, err := p.pusher.Push(ctx, desc)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Close()
	return upload(ctx, w, desc, func() error {
		_, err := w.Write(raw)
		return err
	})
}

// upload writes a blob whole, from its beginning again where the request had to
// be made anew: a token may end while a body is on its way.
func upload(ctx context.Context, w content.Writer, desc ocispec.Descriptor, write func() error) error {
	for try := 1; ; try++ {
		err := write()
		if err == nil {
			err = ignoreExists(w.Commit(ctx, desc.Size, desc.Digest))
		}
		if !errors.Is(err, content.ErrReset) || try == resets {
			return err
		}
	}
}

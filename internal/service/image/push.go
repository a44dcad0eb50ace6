package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"lus/internal/base/errs"
	"lus/internal/model/image"
	store "lus/internal/store/content"
)

const (
	// uploads at the same time, as in Docker.
	uploads = 5
	// packers is how many layers are packed at once, each by as many threads as
	// the machine has.
	packers = 2
	// resets is how often a body is written anew: the library below makes a
	// request five times.
	resets = 6
)

// push is one push under way.
type push struct {
	s       *Service
	named   reference.Named
	packing packing
	pusher  remotes.Pusher
	tracker docker.StatusTracker
	to      *reporter
	// shown is what a layer that was packed on the way was called before that:
	// people follow one name.
	shown map[digest.Digest]string
}

// id is what a layer is called in what is told.
func (p *push) id(d digest.Digest) string {
	if id := p.shown[d]; id != "" {
		return id
	}
	return short(d.String())
}

// PushImage sends an image to the registry that its name leads to; a name
// without a tag means all tags of the repository. Layers that were never packed
// are packed on the way, by compression.
func (s *Service) PushImage(ctx context.Context, ref, compression string, auth *image.Auth, progress func(image.Progress)) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return errs.New(errs.Invalid, "invalid reference format: %q: %w", ref, err)
	}
	if _, ok := named.(reference.Digested); ok {
		return errs.New(errs.Invalid, "cannot push a digest reference")
	}
	how, err := packingOf(compression)
	if err != nil {
		return err
	}
	n, err := s.current(ctx)
	if err != nil {
		return err
	}
	tags, err := n.tagsOf(named)
	if err != nil {
		return err
	}
	to := newReporter(progress)
	to.message(image.Progress{Status: "The push refers to repository [" + named.Name() + "]"})
	for _, full := range tags {
		p := &push{s: s, named: full, packing: how, tracker: docker.NewInMemoryTracker(), to: to}
		if err := pushError(full, auth, p.run(ctx, n, auth)); err != nil {
			return err
		}
	}
	return nil
}

// tagsOf are the names that a push of named means.
func (n *names) tagsOf(named reference.Named) ([]reference.Named, error) {
	if _, ok := named.(reference.Tagged); ok {
		if _, ok := n.byName[named.String()]; !ok {
			return nil, errs.New(errs.NotFound, "An image does not exist locally with the tag: %s", reference.FamiliarName(named))
		}
		return []reference.Named{named}, nil
	}
	var out []reference.Named
	for name := range n.byName {
		if !isTag(name) {
			continue
		}
		if other, err := reference.ParseNormalizedNamed(name); err == nil && other.Name() == named.Name() {
			out = append(out, other)
		}
	}
	if len(out) == 0 {
		return nil, errs.New(errs.NotFound, "An image does not exist locally with the tag: %s", reference.FamiliarName(named))
	}
	slices.SortFunc(out, func(a, b reference.Named) int { return strings.Compare(a.String(), b.String()) })
	return out, nil
}

func (p *push) run(ctx context.Context, n *names, auth *image.Auth) (err error) {
	ctx, release, err := p.s.store.Lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if rerr := release(); rerr != nil {
			p.s.log.Warn("end of push", "error", rerr)
		}
	}()
	row := n.byName[p.named.String()]
	m, desc, raw, err := p.packed(ctx, row)
	if err != nil {
		return err
	}
	if here, err := p.link(ctx, m, desc, raw, auth); here || err != nil {
		return errOrDone(err, func() error { return p.done(ctx, row, desc) })
	}
	o := p.s.registries.resolver(reference.Domain(p.named), auth)
	o.Tracker = p.tracker
	if p.pusher, err = docker.NewResolver(o).Pusher(ctx, p.named.String()); err != nil {
		return err
	}
	if err := p.blobs(ctx, m); err != nil {
		return err
	}
	if err := p.bytes(ctx, desc, raw); err != nil {
		return fmt.Errorf("push the manifest: %w", err)
	}
	return p.done(ctx, row, desc)
}

// packed is the manifest to push. One that was pulled goes as it came; else
// each plain layer is packed.
func (p *push) packed(ctx context.Context, row images.Image) (*ocispec.Manifest, ocispec.Descriptor, []byte, error) {
	desc, err := p.s.manifestOf(ctx, row)
	if err != nil {
		return nil, desc, nil, err
	}
	if images.IsIndexType(desc.MediaType) {
		return nil, desc, nil, errs.New(errs.Unsupported, "%s stands for several platforms, of which not all need be here: pull or load the one to push by itself", reference.FamiliarString(p.named))
	}
	raw, err := p.s.readSmall(ctx, desc)
	if err != nil {
		return nil, desc, nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, desc, nil, err
	}
	changed, err := p.pack(ctx, m.Layers)
	if err != nil {
		return nil, desc, nil, err
	}
	if !changed {
		return &m, ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, raw, nil
	}
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest
	if raw, err = json.Marshal(m); err != nil {
		return nil, desc, nil, err
	}
	return &m, ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw, nil
}

// pack packs the layers that never were, in place, and reports whether there
// were any.
func (p *push) pack(ctx context.Context, layers []ocispec.Descriptor) (changed bool, err error) {
	was := slices.Clone(layers)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(packers)
	for i, l := range layers {
		if l.MediaType != ocispec.MediaTypeImageLayer || !p.s.store.IsVirtual(ctx, l.Digest) {
			continue
		}
		changed = true
		p.to.layer(p.id(l.Digest), "Preparing")
		group.Go(func() (err error) {
			layers[i], err = p.s.packLayer(ctx, l, p.packing)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return changed, err
	}
	p.shown = map[digest.Digest]string{}
	for i, l := range layers {
		p.shown[l.Digest] = short(was[i].Digest.String())
	}
	return changed, nil
}

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

// done tells what was pushed and notes under which digest the registry has it.
func (p *push) done(ctx context.Context, row images.Image, desc ocispec.Descriptor) error {
	tag := "latest"
	if t, ok := p.named.(reference.Tagged); ok {
		tag = t.Tag()
	}
	canonical, err := reference.WithDigest(reference.TrimNamed(p.named), desc.Digest)
	if err != nil {
		return err
	}
	labels := map[string]string{}
	for k, v := range row.Labels {
		labels[k] = v
	}
	if labels[store.LabelRepoDigest] != canonical.String() {
		labels[store.LabelRepoDigest] = canonical.String()
		if err := p.s.store.SetName(ctx, images.Image{Name: row.Name, Target: row.Target, Labels: labels}); err != nil {
			return fmt.Errorf("note what was pushed: %w", err)
		}
	}
	p.to.message(image.Progress{Status: fmt.Sprintf("%s: digest: %s size: %d", tag, desc.Digest, desc.Size)})
	p.to.message(image.Progress{Detail: &image.ProgressDetail{}, Aux: map[string]any{"Tag": tag, "Digest": desc.Digest.String(), "Size": desc.Size}})
	p.s.tell("push", reference.FamiliarString(p.named), reference.FamiliarName(p.named), nil)
	return nil
}

package image

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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
	// asItCame: the image was pulled, and goes as it is.
	asItCame bool
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
	ctx, release, err := p.s.lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if rerr := release(); rerr != nil {
			p.s.log.Warn("end of push", "error", rerr)
		}
	}()
	row := n.byName[p.named.String()]
	if !p.s.store.Keep(ctx, row.Target) { // and with it all that it names
		return errs.New(errs.NotFound, "An image does not exist locally with the tag: %s", reference.FamiliarName(p.named))
	}
	p.asItCame = n.pulled(row)
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
// each plain layer is packed, and it is one in the words of the OCI.
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
	if m.Config.MediaType == images.MediaTypeDockerSchema2Config {
		m.Config.MediaType = ocispec.MediaTypeImageConfig
	}
	for i, l := range m.Layers {
		m.Layers[i].MediaType = ociLayer(l.MediaType)
	}
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
		if !p.packs(ctx, l) {
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

// pulled reports whether an image is here as a registry has it.
func (n *names) pulled(row images.Image) bool {
	return slices.ContainsFunc(n.byID[n.idByName[row.Name]], func(name string) bool {
		other := n.byName[name]
		return other.Target.Digest == row.Target.Digest && strings.HasSuffix(other.Labels[store.LabelRepoDigest], "@"+row.Target.Digest.String())
	})
}

// packs reports whether a layer is to be packed: a plain one that is here.
func (p *push) packs(ctx context.Context, l ocispec.Descriptor) bool {
	if p.asItCame || ociLayer(l.MediaType) != ocispec.MediaTypeImageLayer {
		return false
	}
	_, err := p.s.store.ContentStore().Info(ctx, l.Digest)
	return err == nil
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
	if err := p.s.noteDigest(ctx, row, canonical.String()); err != nil {
		return fmt.Errorf("note what was pushed: %w", err)
	}
	p.to.message(image.Progress{Status: fmt.Sprintf("%s: digest: %s size: %d", tag, desc.Digest, desc.Size)})
	p.to.message(image.Progress{Detail: &image.ProgressDetail{}, Aux: map[string]any{"Tag": tag, "Digest": desc.Digest.String(), "Size": desc.Size}})
	p.s.tell("push", reference.FamiliarString(p.named), reference.FamiliarName(p.named), nil)
	return nil
}

// noteDigest labels a name with where its image can be had, unless it has come to
// mean another one, or nothing, since row was read.
func (s *Service) noteDigest(ctx context.Context, row images.Image, digest string) error {
	if row.Labels[store.LabelRepoDigest] == digest {
		return nil
	}
	return s.store.Update(ctx, func(ctx context.Context) error {
		now, err := s.store.ImageStore().Get(ctx, row.Name)
		if errdefs.IsNotFound(err) || err == nil && now.Target.Digest != row.Target.Digest {
			return nil
		}
		if err != nil {
			return err
		}
		labels := map[string]string{store.LabelRepoDigest: digest}
		_, err = s.store.ImageStore().Update(ctx, images.Image{Name: row.Name, Labels: labels}, "labels."+store.LabelRepoDigest)
		return err
	})
}

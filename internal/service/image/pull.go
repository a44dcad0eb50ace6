package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/image"
	store "lus/internal/store/content"
)

const (
	// maxLayers is what the kernel's overlay takes as lower folders.
	maxLayers = 500
	// maxIndexes may lie in each other.
	maxIndexes = 3
	// downloads at the same time, as in Docker.
	downloads = 3
)

// pull is one pull under way.
type pull struct {
	s       *Service
	named   reference.Named
	asked   bool // for a platform; else it is this host's
	match   platforms.MatchComparer
	want    ocispec.Platform
	fetcher remotes.Fetcher
	to      *reporter
}

// pulled is what a pull brought.
type pulled struct {
	target   ocispec.Descriptor // what the name stands for at the registry
	manifest ocispec.Descriptor
	config   ocispec.Descriptor
	layers   []ocispec.Descriptor
	diffs    []string
}

// PullImage brings an image from its registry: manifest, config and layers,
// each checked against its digest, unpacked, and named only when all of it is
// there. An aborted pull leaves nothing.
func (s *Service) PullImage(ctx context.Context, ref, platform string, auth *image.Auth, progress func(image.Progress)) error {
	named, err := parse(ref)
	if err != nil {
		return err
	}
	want := s.host
	if platform != "" {
		if want, err = platforms.Parse(platform); err != nil {
			return errs.New(errs.Invalid, "invalid platform %q: write OS/ARCH, as in linux/arm64 (%w)", platform, err)
		}
	}
	p := &pull{s: s, named: named, asked: platform != "", want: want, match: platforms.Only(want), to: newReporter(progress)}
	return pullError(named, auth, p.run(ctx, auth))
}

func (p *pull) run(ctx context.Context, auth *image.Auth) (err error) {
	ctx, release, err := p.s.store.Lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, release())
		if err != nil {
			p.s.collect(ctx)
		}
	}()
	object := "latest"
	if t, ok := p.named.(reference.Tagged); ok {
		object = t.Tag()
	}
	if d, ok := p.named.(reference.Digested); ok {
		object = d.Digest().String()
	}
	p.to.say(object, "Pulling from "+reference.Path(p.named))
	resolver := docker.NewResolver(p.s.registries.resolver(reference.Domain(p.named), auth))
	name, target, err := p.resolve(ctx, resolver)
	if err != nil {
		return err
	}
	if p.fetcher, err = resolver.Fetcher(ctx, name); err != nil {
		return err
	}
	got, err := p.fetch(ctx, target)
	if err != nil {
		return err
	}
	return p.finish(ctx, got)
}

// resolve asks the registry what the name stands for, again where it fails in
// a way that may pass.
func (p *pull) resolve(ctx context.Context, r remotes.Resolver) (string, ocispec.Descriptor, error) {
	for try := 1; ; try++ {
		name, desc, err := r.Resolve(ctx, p.named.String())
		if err == nil || try == attempts || unreachable(err) || !transient(err) {
			return name, desc, err
		}
		if err := pause(ctx, p.s.limits.backoff(try)); err != nil {
			return "", desc, err
		}
	}
}

// fetch brings manifest, config and layers, and unpacks them.
func (p *pull) fetch(ctx context.Context, target ocispec.Descriptor) (*pulled, error) {
	got := &pulled{target: target}
	m, err := p.manifest(ctx, got)
	if err != nil {
		return nil, err
	}
	if err := p.config(ctx, got, m); err != nil {
		return nil, err
	}
	if err := p.layers(ctx, got); err != nil {
		return nil, err
	}
	return got, nil
}

// document fetches a manifest or an index and reads it.
func (p *pull) document(ctx context.Context, desc ocispec.Descriptor, v any, opts ...content.Opt) error {
	if desc.Size > maxConfig {
		return errs.New(errs.Invalid, "the registry's manifest %s is %d bytes, %d are allowed", desc.Digest, desc.Size, maxConfig)
	}
	if _, err := p.s.fetchBlob(ctx, p.fetcher, desc, nil, opts...); err != nil {
		return err
	}
	raw, err := p.s.readSmall(ctx, desc)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return errs.New(errs.Invalid, "the registry's %s %s is not valid: %w", desc.MediaType, desc.Digest, err)
	}
	return nil
}

// manifest goes from what the name stands for to one platform's manifest.
func (p *pull) manifest(ctx context.Context, got *pulled) (*ocispec.Manifest, error) {
	desc := got.target
	for depth := 0; images.IsIndexType(desc.MediaType); depth++ {
		if depth == maxIndexes {
			return nil, errs.New(errs.Invalid, "the index of %s has indexes in indexes: it names no image", reference.FamiliarString(p.named))
		}
		var index ocispec.Index
		if err := p.document(ctx, desc, &index); err != nil {
			return nil, err
		}
		child, err := p.choose(index.Manifests)
		if err != nil {
			return nil, err
		}
		hold := map[string]string{"containerd.io/gc.ref.content.m." + short(child.Digest.String()): child.Digest.String()}
		if err := p.s.addLabels(ctx, desc, []content.Opt{content.WithLabels(hold)}); err != nil {
			return nil, err
		}
		desc = child
	}
	if strings.HasPrefix(desc.MediaType, "application/vnd.docker.distribution.manifest.v1+") {
		return nil, errs.New(errs.Unsupported, "%s is in Docker's first image format (schema 1), which is no longer taken: push it again with a present-day engine", reference.FamiliarString(p.named))
	}
	if !images.IsManifestType(desc.MediaType) {
		return nil, errs.New(errs.Unsupported, "%s is not an image: the registry says it is a %q", reference.FamiliarString(p.named), desc.MediaType)
	}
	got.manifest = desc
	var m ocispec.Manifest
	if err := p.document(ctx, desc, &m); err != nil {
		return nil, err
	}
	if m.MediaType != "" && m.MediaType != desc.MediaType {
		return nil, errs.New(errs.Invalid, "the manifest of %s calls itself %q where the registry says %q", reference.FamiliarString(p.named), m.MediaType, desc.MediaType)
	}
	if !images.IsConfigType(m.Config.MediaType) {
		return nil, errs.New(errs.Unsupported, "%s is not an image but an artifact of type %q", reference.FamiliarString(p.named), m.Config.MediaType)
	}
	if len(m.Layers) > maxLayers {
		return nil, errs.New(errs.Unsupported, "%s has %d layers; the kernel's overlay takes %d", reference.FamiliarString(p.named), len(m.Layers), maxLayers)
	}
	return &m, nil
}

// choose returns the manifest that fits the platform best.
func (p *pull) choose(list []ocispec.Descriptor) (ocispec.Descriptor, error) {
	best, ok := choose(list, p.match)
	if !ok {
		return best, errs.New(errs.NotFound, "no matching manifest for %s in the manifest list entries of %s: %s", platforms.Format(p.want), reference.FamiliarString(p.named), offers(list))
	}
	return best, nil
}

// choose returns the first of the images of an index that fit best.
func choose(list []ocispec.Descriptor, match platforms.MatchComparer) (best ocispec.Descriptor, ok bool) {
	for _, d := range list {
		if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) || d.Annotations["vnd.docker.reference.type"] != "" {
			continue
		}
		if d.Platform != nil && !match.Match(*d.Platform) {
			continue
		}
		if !ok || d.Platform != nil && (best.Platform == nil || match.Less(*d.Platform, *best.Platform)) {
			best, ok = d, true
		}
	}
	return best, ok
}

// offers says which platforms an index has, at most a few.
func offers(list []ocispec.Descriptor) string {
	var names []string
	for _, d := range list {
		if d.Platform == nil || d.Platform.OS == "" || d.Platform.OS == "unknown" {
			continue
		}
		if name := platforms.Format(*d.Platform); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0:
		return "it has no image in it"
	case len(names) > 20:
		names = append(names[:20], "...")
	}
	return "it is there for " + strings.Join(names, ", ") + "; --platform chooses one"
}

// config fetches the config and compares it with the manifest.
func (p *pull) config(ctx context.Context, got *pulled, m *ocispec.Manifest) error {
	got.config, got.layers = m.Config, m.Layers
	if m.Config.Size > maxConfig {
		return errs.New(errs.Invalid, "the config of %s is %d bytes, %d are allowed", reference.FamiliarString(p.named), m.Config.Size, maxConfig)
	}
	if _, err := p.s.fetchBlob(ctx, p.fetcher, m.Config, nil); err != nil {
		return err
	}
	raw, err := p.s.readSmall(ctx, m.Config)
	if err != nil {
		return err
	}
	i, err := readConfig(m.Config.Digest.String(), raw)
	if err != nil {
		return err
	}
	if has := (ocispec.Platform{OS: i.OS, Architecture: i.Architecture, Variant: i.Variant}); p.asked && !p.match.Match(has) {
		return errs.New(errs.NotFound, "%s is an image for %s only; none for %s was found", reference.FamiliarString(p.named), platforms.Format(has), platforms.Format(p.want))
	}
	got.diffs = i.Layers
	if len(i.Layers) != len(m.Layers) {
		return errs.New(errs.Invalid, "the manifest of %s has %d layers, its config %d: the image is damaged", reference.FamiliarString(p.named), len(m.Layers), len(i.Layers))
	}
	for _, l := range m.Layers {
		if !isLayer(l.MediaType) {
			return errs.New(errs.Unsupported, "a layer of %s is of type %q, which Lus does not know", reference.FamiliarString(p.named), l.MediaType)
		}
	}
	return nil
}

// isLayer reports whether a layer's type is one that is a tar, packed by
// gzip or zstd or not at all.
func isLayer(mt string) bool {
	base, packed, _ := strings.Cut(mt, "+")
	switch base {
	case ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerNonDistributable: //nolint:staticcheck // old images have them
		return packed == "" || packed == "gzip" || packed == "zstd"
	case images.MediaTypeDockerSchema2Layer, images.MediaTypeDockerSchema2LayerGzip, images.MediaTypeDockerSchema2LayerZstd,
		images.MediaTypeDockerSchema2LayerForeign, images.MediaTypeDockerSchema2LayerForeignGzip:
		return packed == ""
	}
	return false
}

// finish makes the image exist: labels that hold its parts, then its name.
func (p *pull) finish(ctx context.Context, got *pulled) error {
	if err := p.s.hold(ctx, got); err != nil {
		return err
	}
	n, err := p.s.current(ctx)
	if err != nil {
		return err
	}
	old, had := n.byName[p.named.String()]
	same := had && old.Target.Digest == got.target.Digest && old.Labels[store.LabelConfig] == got.config.Digest.String()
	canonical, err := reference.WithDigest(reference.TrimNamed(p.named), got.target.Digest)
	if err != nil {
		return err
	}
	if !same {
		labels := map[string]string{
			store.LabelConfig:     got.config.Digest.String(),
			store.LabelManifest:   got.manifest.Digest.String(),
			store.LabelRepoDigest: canonical.String(),
		}
		got.target.Annotations, got.target.URLs, got.target.Platform = nil, nil, nil
		if err := p.s.store.SetName(ctx, images.Image{Name: p.named.String(), Target: got.target, Labels: labels}); err != nil {
			return fmt.Errorf("name the image %s: %w", p.named, err)
		}
	}
	shown := reference.FamiliarString(p.named)
	p.to.message(image.Progress{Status: "Digest: " + got.target.Digest.String()})
	if same {
		p.to.message(image.Progress{Status: "Status: Image is up to date for " + shown})
	} else {
		p.to.message(image.Progress{Status: "Status: Downloaded newer image for " + shown})
	}
	i, err := p.s.byID(ctx, got.config.Digest.String())
	if err != nil {
		return err
	}
	p.s.tell("pull", shown, reference.FamiliarName(p.named), i.Config.Labels)
	return nil
}

// hold writes the references by which a manifest keeps its config and layers,
// and the config the unpacked chain, in one transaction; and before that what
// was unpacked itself to the disk.
func (s *Service) hold(ctx context.Context, got *pulled) error {
	manifest := map[string]string{"containerd.io/gc.ref.content.config": got.config.Digest.String()}
	for i, l := range got.layers {
		manifest[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", i)] = l.Digest.String()
	}
	config := map[string]string{}
	if chains := chainIDs(got.diffs); len(chains) > 0 {
		top := chains[len(chains)-1]
		config["containerd.io/gc.ref.snapshot."+store.SnapshotterName] = top
		dir, err := s.store.Folder(ctx, top)
		if err != nil {
			return err
		}
		if err := s.settle(dir); err != nil {
			return err
		}
	}
	return s.store.Update(ctx, func(ctx context.Context) error {
		if err := s.addLabels(ctx, got.manifest, []content.Opt{content.WithLabels(manifest)}); err != nil {
			return err
		}
		return s.addLabels(ctx, got.config, []content.Opt{content.WithLabels(config)})
	})
}

// Collect removes what nothing holds any more.
func (s *Service) Collect(ctx context.Context) { s.collect(ctx) }

// collect does so also after ctx ended.
func (s *Service) collect(ctx context.Context) {
	if _, err := s.store.GarbageCollect(context.WithoutCancel(ctx)); err != nil {
		s.log.Warn("collecting what images left", "error", err)
	}
}

package image

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
)

// maxIndexes may lie in each other.
const maxIndexes = 3

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
	return oneKind(raw, desc)
}

// oneKind refuses what is a manifest and an index at once: the same digest would be
// one image here and another elsewhere.
func oneKind(raw []byte, desc ocispec.Descriptor) error {
	var has struct{ Config, Layers, Manifests json.RawMessage }
	if err := json.Unmarshal(raw, &has); err != nil {
		return err
	}
	if len(has.Manifests) > 0 && len(has.Config)+len(has.Layers) > 0 {
		return errs.New(errs.Invalid, "the registry's %s %s is a manifest and an index at once: its owner has to say which", desc.MediaType, desc.Digest)
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

package image

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	store "lus/internal/store/content"
)

// SaveImages writes images to w as one tar that is a Docker archive and an OCI
// layout at once. What becomes of the images meanwhile does not matter.
func (s *Service) SaveImages(ctx context.Context, refs []string, w io.Writer) error {
	ctx, release, err := s.lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := release(); err != nil {
			s.log.Warn("end of save", "error", err)
		}
		s.collect(ctx) // what was removed meanwhile
	}()
	n, err := s.current(ctx)
	if err != nil {
		return err
	}
	wanted, err := s.wanted(ctx, n, refs)
	if err != nil {
		return err
	}
	var opts []archive.ExportOpt
	for _, one := range wanted {
		opts = append(opts, archive.WithManifest(one.manifest, one.names...))
	}
	if err := archive.Export(s.store.Context(ctx), s.store.Once(), w, opts...); err != nil {
		if full(err) {
			return noSpace(err)
		}
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

// saved is one image to be saved, and under which names.
type saved struct {
	manifest ocispec.Descriptor
	names    []string
}

// wanted are the images that refs mean, each once. A name without a tag means
// all tags of the repository, as in Docker.
func (s *Service) wanted(ctx context.Context, n *names, refs []string) ([]*saved, error) {
	var out []*saved
	byID := map[string]*saved{}
	add := func(id string, name string) error {
		one := byID[id]
		if one == nil {
			m, err := s.manifestOf(ctx, n.byName[n.byID[id][0]])
			if err != nil {
				return err
			}
			if !s.store.Keep(ctx, m) { // and with it all that it names
				return noSuchImage(id)
			}
			one = &saved{manifest: m}
			byID[id], out = one, append(out, one)
		}
		if name != "" && !slices.Contains(one.names, name) {
			one.names = append(one.names, name)
		}
		return nil
	}
	for _, ref := range refs {
		if named, err := reference.ParseNormalizedNamed(ref); err == nil && reference.IsNameOnly(named) {
			if tags, err := n.tagsOf(named); err == nil {
				for _, tag := range tags {
					if err := add(n.idByName[tag.String()], tag.String()); err != nil {
						return nil, err
					}
				}
				continue
			}
		}
		id, err := n.find(ref)
		if err != nil {
			return nil, err
		}
		name := ""
		if named, err := parse(ref); err == nil && n.byName[named.String()].Name != "" && isTag(named.String()) {
			name = named.String()
		}
		if err := add(id, name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// manifestOf is the manifest of the platform that was pulled or built.
func (s *Service) manifestOf(ctx context.Context, row images.Image) (ocispec.Descriptor, error) {
	d := row.Labels[store.LabelManifest]
	if d == "" || d == row.Target.Digest.String() {
		return row.Target, nil
	}
	raw, err := s.readSmall(ctx, ocispec.Descriptor{Digest: digest.Digest(d)})
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("read the manifest of %s: %w", row.Name, err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("read the manifest of %s: %w", row.Name, err)
	}
	if m.MediaType == "" {
		m.MediaType = ocispec.MediaTypeImageManifest
	}
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.Digest(d), Size: int64(len(raw))}, nil
}

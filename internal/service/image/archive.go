package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/decompress"
	"lus/internal/base/errs"
	"lus/internal/model/image"
	store "lus/internal/store/content"
)

// SaveImages writes images to w as one tar that is a Docker archive and an OCI
// layout at once. Layers that were never packed are made on the way.
func (s *Service) SaveImages(ctx context.Context, refs []string, w io.Writer) error {
	ctx, release, err := s.store.Lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := release(); err != nil {
			s.log.Warn("end of save", "error", err)
		}
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
	if err := archive.Export(s.store.Context(ctx), s.store.ContentStore(), w, opts...); err != nil {
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

// LoadImages brings the images of a tar that save wrote, here or elsewhere:
// a Docker archive or an OCI layout, compressed or not.
func (s *Service) LoadImages(ctx context.Context, tar io.Reader, progress func(image.Progress)) (err error) {
	// The importer names its unfinished blobs by their paths in the tar, so two
	// loads at once would get into each other's way.
	unlock, err := s.busy.lock(ctx, "load")
	if err != nil {
		return err
	}
	defer unlock()
	ctx, release, err := s.store.Lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, release())
		s.collect(ctx) // the index and what no image took
	}()
	plain, err := decompress.Reader(ctx, tar)
	if err != nil {
		return errs.New(errs.Invalid, "load: %w", err)
	}
	defer plain.Close()
	top, err := archive.ImportIndex(ctx, s.store.ContentStore(), plain)
	if err != nil {
		return loadError(err)
	}
	var index ocispec.Index
	raw, err := s.readSmall(ctx, top)
	if err == nil {
		err = json.Unmarshal(raw, &index)
	}
	if err != nil {
		return loadError(err)
	}
	to := newReporter(progress)
	for _, m := range index.Manifests {
		if err := s.load(ctx, m, to); err != nil {
			return loadError(err)
		}
	}
	return nil
}

func loadError(err error) error {
	var mine *errs.Error
	switch {
	case errors.As(err, &mine):
		return err
	case full(err):
		return noSpace(err)
	}
	return errs.New(errs.Invalid, "load: this is no archive of images as save writes it: %w", err)
}

// load unpacks and names one image of an archive.
func (s *Service) load(ctx context.Context, desc ocispec.Descriptor, to *reporter) error {
	name := desc.Annotations[images.AnnotationImageName]
	if name == "" {
		name = desc.Annotations[ocispec.AnnotationRefName]
	}
	m, err := images.Manifest(ctx, s.store.ContentStore(), desc, platforms.All)
	if err != nil {
		return err
	}
	raw, err := s.readSmall(ctx, m.Config)
	if err != nil {
		return err
	}
	id := m.Config.Digest.String()
	i, err := readConfig(id, raw)
	if err != nil {
		return err
	}
	if len(i.Layers) != len(m.Layers) || len(m.Layers) > maxLayers {
		return errs.New(errs.Invalid, "the archive's image %s has %d layers, its config %d", short(id), len(m.Layers), len(i.Layers))
	}
	for _, l := range layersOf(m.Layers, i.Layers) {
		meter := &meter{to: to, id: short(l.blob.Digest.String()), status: "Loading layer", total: l.blob.Size}
		if _, err := s.unpack(ctx, l, meter); err != nil {
			return err
		}
	}
	manifest := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	if err := s.hold(ctx, &pulled{manifest: manifest, config: m.Config, layers: m.Layers, diffs: i.Layers}); err != nil {
		return err
	}
	return s.nameLoaded(ctx, name, id, manifest, i, to)
}

func (s *Service) nameLoaded(ctx context.Context, name, id string, target ocispec.Descriptor, i *image.Image, to *reporter) error {
	full, said := store.DanglingPrefix+id, "Loaded image ID: "+id
	if tagged, err := parseTarget(name); name != "" && err == nil {
		full, said = tagged.String(), "Loaded image: "+reference.FamiliarString(tagged)
	}
	row := images.Image{Name: full, Target: target, Labels: map[string]string{store.LabelConfig: id}}
	if err := s.store.SetName(ctx, row); err != nil {
		return fmt.Errorf("name the image %s: %w", full, err)
	}
	s.tell("load", id, familiar(name), i.Config.Labels)
	to.message(image.Progress{Stream: said + "\n"})
	return nil
}

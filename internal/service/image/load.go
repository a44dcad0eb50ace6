package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/decompress"
	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/image"
	store "lus/internal/store/content"
)

// LoadImages brings the images of a tar that save wrote, here or elsewhere:
// a Docker archive or an OCI layout, compressed or not.
func (s *Service) LoadImages(ctx context.Context, tar io.Reader, progress func(image.Progress)) (err error) {
	ctx, release, err := s.lease(ctx)
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
	top, err := archive.ImportIndex(ctx, apart{s.store.ContentStore(), ids.New()}, plain)
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

// apart is the content store as one load sees it. The importer names its
// unfinished blobs by their paths in the tar, and those of another load may be
// the same.
type apart struct {
	content.Store
	load string
}

// Writer implements content.Ingester.
func (a apart) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	return a.Store.Writer(ctx, append(slices.Clone(opts), func(o *content.WriterOpts) error {
		o.Ref = "lus-load-" + a.load + "-" + o.Ref
		return nil
	})...)
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
	manifest, err := s.single(ctx, desc)
	if err != nil {
		return err
	}
	m, err := images.Manifest(ctx, s.store.ContentStore(), manifest, platforms.All)
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
		if _, err := s.store.ContentStore().Info(ctx, l.blob.Digest); errdefs.IsNotFound(err) {
			// Its files may be here: then the image would run, and be saved no more.
			return errs.New(errs.Invalid, "the archive names the layer %s, which is not in it: save the image again", short(l.blob.Digest.String()))
		}
		meter := &meter{to: to, id: short(l.blob.Digest.String()), status: "Loading layer", total: l.blob.Size}
		if _, err := s.unpack(ctx, l, meter); err != nil {
			return err
		}
	}
	if err := s.hold(ctx, &pulled{manifest: manifest, config: m.Config, layers: m.Layers, diffs: i.Layers}); err != nil {
		return err
	}
	return s.nameLoaded(ctx, name, id, manifest, i, to)
}

// single goes from what an archive names to one image. Of an index, of which not
// all need be in the archive, that is the one for this host, or else the first.
func (s *Service) single(ctx context.Context, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	for depth := 0; images.IsIndexType(desc.MediaType); depth++ {
		var index ocispec.Index
		raw, err := s.readSmall(ctx, desc)
		if err == nil {
			err = json.Unmarshal(raw, &index)
		}
		if err != nil {
			return desc, err
		}
		came := slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool {
			_, err := s.store.ContentStore().Info(ctx, d.Digest)
			return err != nil
		})
		child, ok := choose(came, platforms.Only(s.host))
		if !ok {
			child, ok = choose(came, platforms.All)
		}
		if !ok || depth == maxIndexes {
			return desc, errs.New(errs.Invalid, "the archive's index %s names no image that is in it", short(desc.Digest.String()))
		}
		desc = child
	}
	return ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, nil
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

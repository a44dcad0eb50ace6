package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/image"
	store "lus/internal/store/content"
)

// emptyTar is the diff id of a layer that holds nothing.
const emptyTar = digest.Digest("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")

// CommitImage makes an image of another and what a container changed. The
// changes are copied once and hashed once; no layer of the base is touched.
func (s *Service) CommitImage(ctx context.Context, c *image.Commit) (id string, err error) {
	var names []string
	if c.Ref != "" {
		to, err := parseTarget(c.Ref)
		if err != nil {
			return "", err
		}
		names = []string{to.String()}
	}
	asked := c.Asked
	if err := ApplyChanges(&asked, c.Changes); err != nil {
		return "", err
	}
	cfg, err := c.Complete(&asked)
	if err != nil {
		return "", err
	}
	ctx, release, err := s.lease(ctx)
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, release())
		if err != nil {
			s.collect(ctx)
		}
	}()
	if _, err := s.Layers(ctx, c.Base); err != nil { // there, and held
		return "", err
	}
	layers, err := s.baseLayers(ctx, c.Base)
	if err != nil {
		return "", err
	}
	if len(layers) >= maxLayers {
		return "", errs.New(errs.Unsupported, "image %s has %d layers, which is the most that the kernel's overlay takes: export the container and import it again", short(c.Base), len(layers))
	}
	top, err := s.changedLayer(ctx, c, layers)
	if err != nil {
		return "", commitError(err)
	}
	if top.DiffID != emptyTar {
		layers = append(layers, top)
	}
	raw, err := s.committedConfig(ctx, c, cfg, top)
	if err != nil {
		return "", err
	}
	_, d, err := s.store.Commit(ctx, store.NewImage{Names: names, Config: raw, Layers: layers})
	if err != nil {
		return "", commitError(err)
	}
	if c.Ref != "" {
		s.tell("tag", d.String(), familiar(names[0]), cfg.Labels)
	}
	return d.String(), nil
}

func commitError(err error) error {
	if full(err) {
		return noSpace(err)
	}
	return err
}

// baseLayers are an image's layers as the store knows them. Those that are
// there as blobs stay the blobs they are.
func (s *Service) baseLayers(ctx context.Context, id string) ([]store.Layer, error) {
	i, err := s.byID(ctx, id)
	if err != nil {
		return nil, err
	}
	m, err := s.manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	var out []store.Layer
	for k, chain := range chainIDs(i.Layers) {
		l := store.Layer{Snapshot: chain, DiffID: digest.Digest(i.Layers[k])}
		if m != nil && k < len(m.Layers) {
			l.Size = m.Layers[k].Size
			if l.Blob, err = s.blobOf(ctx, m.Layers[k], l.DiffID); err != nil {
				return nil, err
			}
		}
		if l.Size == 0 {
			if l, err = s.store.Hash(ctx, chain); err != nil {
				return nil, err
			}
			if l.DiffID.String() != i.Layers[k] {
				return nil, errs.New(errs.Unavailable, "layer %s of image %s can no longer be written as it was: pull the image again", short(i.Layers[k]), short(id))
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// blobOf is the blob of a layer; empty where it can be made from its snapshot.
func (s *Service) blobOf(ctx context.Context, desc ocispec.Descriptor, diff digest.Digest) (ocispec.Descriptor, error) {
	if desc.Digest == diff && s.store.IsVirtual(ctx, diff) {
		return ocispec.Descriptor{}, nil
	}
	_, err := s.store.ContentStore().Info(ctx, desc.Digest)
	if errdefs.IsNotFound(err) {
		return ocispec.Descriptor{}, nil
	}
	return ocispec.Descriptor{MediaType: ociLayer(desc.MediaType), Digest: desc.Digest, Size: desc.Size}, err
}

// ociLayer is the OCI name of a layer's media type: the new manifest is an OCI one.
func ociLayer(mediaType string) string {
	switch mediaType {
	case images.MediaTypeDockerSchema2LayerGzip:
		return ocispec.MediaTypeImageLayerGzip
	case images.MediaTypeDockerSchema2LayerZstd:
		return ocispec.MediaTypeImageLayerZstd
	case images.MediaTypeDockerSchema2Layer:
		return ocispec.MediaTypeImageLayer
	}
	return mediaType
}

// manifest is the manifest of an image, which the lease in ctx then holds with all
// that it names; nil where it has no name any more and only containers hold it.
func (s *Service) manifest(ctx context.Context, id string) (*ocispec.Manifest, error) {
	n, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	if len(n.byID[id]) == 0 {
		return nil, nil
	}
	desc, err := s.manifestOf(ctx, n.byName[n.byID[id][0]])
	if err != nil {
		return nil, err
	}
	if images.IsIndexType(desc.MediaType) || !s.store.Keep(ctx, desc) {
		return nil, nil
	}
	raw, err := s.readSmall(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("read the manifest of image %s: %w", short(id), err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read the manifest of image %s: %w", short(id), err)
	}
	return &m, nil
}

// changedLayer makes a layer of the changes.
func (s *Service) changedLayer(ctx context.Context, c *image.Commit, below []store.Layer) (store.Layer, error) {
	parent := ""
	if len(below) > 0 {
		parent = below[len(below)-1].Snapshot
	}
	return s.newLayer(ctx, "commit", parent, func(dir string) error {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer f.Close()
		return c.Fill(ctx, f)
	})
}

// committedConfig is the base's config with what the commit adds. What this
// program does not know of in it stays.
func (s *Service) committedConfig(ctx context.Context, c *image.Commit, cfg *container.Config, top store.Layer) ([]byte, error) {
	raw, err := s.readSmall(ctx, ocispec.Descriptor{Digest: digest.Digest(c.Base)})
	if err != nil {
		return nil, fmt.Errorf("read the config of image %s: %w", short(c.Base), err)
	}
	var old struct {
		ocispec.Image
		Raw map[string]json.RawMessage `json:"-"`
	}
	if err := json.Unmarshal(raw, &old.Image); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &old.Raw); err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	empty := top.DiffID == emptyTar
	diffs := old.RootFS.DiffIDs
	if !empty {
		diffs = append(diffs, top.DiffID)
	}
	step := ocispec.History{Created: &now, CreatedBy: strings.TrimSpace(c.CreatedBy), Author: c.Author, Comment: c.Message, EmptyLayer: empty}
	out := old.Raw
	delete(out, "container")
	delete(out, "container_config")
	for key, v := range map[string]any{
		"created": now, "author": c.Author, "comment": c.Message, "config": imageConfig(cfg),
		"rootfs": ocispec.RootFS{Type: "layers", DiffIDs: diffs}, "history": append(old.History, step),
	} {
		if v == "" {
			delete(out, key)
			continue
		}
		if out[key], err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	return json.Marshal(out)
}

package content

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Labels of an image's name. They spare every look-up the reading of blobs.
const (
	// LabelConfig is the digest of the config, which is the image's id.
	LabelConfig = "lus/config"
	// LabelManifest is the digest of the manifest, where the target is an index.
	LabelManifest = "lus/manifest"
	// LabelRepoDigest is "repository@digest": where the image can be had.
	LabelRepoDigest = "lus/repo-digest"
)

// DanglingPrefix begins the name of an image that has no name of its own; the
// rest is its id.
const DanglingPrefix = "lus-dangling@"

// NewImage is an image whose layers are snapshots of this store.
type NewImage struct {
	// Names are full references ("docker.io/library/app:latest"); with none
	// the image is dangling.
	Names []string
	// Config is the image's config; its digest is the image's id. Its diff ids
	// must be those of Layers.
	Config []byte
	// Layers, lowest first, as Hash gave them.
	Layers []Layer
	// Top is the snapshot that shows the image's file system, where that is
	// not the last layer's own (as after COPY --link). A name that is not
	// hashed layer by layer is not trusted with more.
	Top string
	// Labels are added to each name.
	Labels map[string]string
	// Annotations are those of the manifest.
	Annotations map[string]string
}

// Commit makes the image in one transaction: manifest, config, second names of
// the snapshots by chain id, virtual layers, and the image's names. No layer
// is copied or compressed, and a lease that held them may be released afterwards.
// It returns the manifest's descriptor; the id is the
// digest of the config.
func (s *Store) Commit(ctx context.Context, n NewImage) (target ocispec.Descriptor, id digest.Digest, err error) {
	if err := n.check(); err != nil {
		return target, "", err
	}
	n.Layers = slices.Clone(n.Layers) // names are changed below
	if n.Top == "" && len(n.Layers) > 0 {
		n.Top = n.Layers[len(n.Layers)-1].Snapshot
	}
	err = s.Update(ctx, func(ctx context.Context) error {
		var err error
		target, id, err = s.commit(ctx, n)
		return err
	})
	if err != nil {
		return ocispec.Descriptor{}, "", fmt.Errorf("add the image to the store: %w", err)
	}
	return target, id, nil
}

// check compares the config's diff ids with the layers.
func (n *NewImage) check() error {
	var c ocispec.Image
	if err := json.Unmarshal(n.Config, &c); err != nil {
		return fmt.Errorf("read the new image's config: %w", err)
	}
	if len(c.RootFS.DiffIDs) != len(n.Layers) {
		return fmt.Errorf("the new image's config names %d layers, there are %d", len(c.RootFS.DiffIDs), len(n.Layers))
	}
	for i, l := range n.Layers {
		if c.RootFS.DiffIDs[i] != l.DiffID {
			return fmt.Errorf("layer %d of the new image is %s, its config says %s", i, l.DiffID, c.RootFS.DiffIDs[i])
		}
	}
	return nil
}

func (s *Store) commit(ctx context.Context, n NewImage) (target ocispec.Descriptor, id digest.Digest, err error) {
	labels, err := s.nameLayers(ctx, n)
	if err != nil {
		return target, "", err
	}
	config := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(n.Config), Size: int64(len(n.Config))}
	if err := s.writeBlob(ctx, config, n.Config, labels); err != nil {
		return target, "", fmt.Errorf("write its config: %w", err)
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{}, Annotations: n.Annotations}
	// Layers without a blob are not held: where one was made into a blob for a
	// reader, the collector may take it again.
	holds := map[string]string{"containerd.io/gc.ref.content.config": config.Digest.String()}
	for i, l := range n.Layers {
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: l.DiffID, Size: l.Size}
		if l.Blob.Digest != "" {
			desc = l.Blob
			holds[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", i)] = desc.Digest.String()
		}
		m.Layers = append(m.Layers, desc)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return target, "", err
	}
	target = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := s.writeBlob(ctx, target, raw, holds); err != nil {
		return target, "", fmt.Errorf("write its manifest: %w", err)
	}
	return target, config.Digest, s.nameAll(ctx, n, target, config.Digest)
}

func (s *Store) nameAll(ctx context.Context, n NewImage, target ocispec.Descriptor, id digest.Digest) error {
	names := n.Names
	if len(names) == 0 {
		names = []string{DanglingPrefix + id.String()}
	}
	for _, name := range names {
		labels := map[string]string{}
		for k, v := range n.Labels {
			labels[k] = v
		}
		labels[LabelConfig] = id.String()
		if err := s.SetName(ctx, images.Image{Name: name, Target: target, Labels: labels}); err != nil {
			return fmt.Errorf("name it %s: %w", name, err)
		}
	}
	return nil
}

// nameLayers gives the snapshots their second names, by chain id, and returns
// the labels by which the config holds them.
func (s *Store) nameLayers(ctx context.Context, n NewImage) (map[string]string, error) {
	labels := map[string]string{}
	if len(n.Layers) == 0 {
		return labels, nil
	}
	diffs := make([]digest.Digest, len(n.Layers))
	for i, l := range n.Layers {
		diffs[i] = l.DiffID
	}
	chains := identity.ChainIDs(diffs)
	straight, err := s.straight(ctx, n)
	if err != nil {
		return nil, err
	}
	top := len(n.Layers) - 1
	for i := range n.Layers {
		switch {
		case straight:
			if err := s.nameChain(ctx, chains, i, n.Layers[i].Snapshot); err != nil {
				return nil, err
			}
			n.Layers[i].Snapshot = chains[i].String()
		default:
			// Fewer snapshots than layers: each layer's own is held by itself.
			labels[fmt.Sprintf("%s/layer.%d", labelSnapshotRef, i)] = n.Layers[i].Snapshot
		}
		if n.Layers[i].Blob.Digest != "" {
			continue
		}
		if err := s.addVirtual(ctx, n.Layers[i]); err != nil {
			return nil, err
		}
	}
	if !straight {
		if err := s.nameChain(ctx, chains, top, n.Top); err != nil {
			return nil, err
		}
	}
	labels[labelSnapshotRef] = chains[top].String()
	return labels, nil
}

const labelSnapshotRef = "containerd.io/gc.ref.snapshot." + SnapshotterName

// straight reports whether each layer's snapshot lies on the one before it and
// the last is what the image shows.
func (s *Store) straight(ctx context.Context, n NewImage) (bool, error) {
	below := ""
	for _, l := range n.Layers {
		info, err := s.snaps.Stat(ctx, l.Snapshot)
		if err != nil {
			return false, err
		}
		parent := ""
		if info.Parent != "" {
			if parent, err = s.BackendKey(ctx, info.Parent); err != nil {
				return false, err
			}
		}
		if parent != below {
			return false, nil
		}
		below = info.Labels[LabelBackendKey]
	}
	top, err := s.BackendKey(ctx, n.Top)
	return top == below, err
}

// nameChain names existing by the i-th chain id. Its parent is the chain id
// below where that is the same snapshot, else whatever existing's parent is
// called: the same content may have come by another way before.
func (s *Store) nameChain(ctx context.Context, chains []digest.Digest, i int, existing string) error {
	info, err := s.snaps.Stat(ctx, existing)
	if err != nil {
		return err
	}
	parent := info.Parent
	if parent != "" && i > 0 {
		below, err := s.BackendKey(ctx, chains[i-1].String())
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		own, err := s.BackendKey(ctx, parent)
		if err != nil {
			return err
		}
		if below == own {
			parent = chains[i-1].String()
		}
	}
	return s.NameSnapshot(ctx, chains[i].String(), existing, parent, nil)
}

// writeBlob writes a small blob and adds labels to it, also where it is there.
func (s *Store) writeBlob(ctx context.Context, desc ocispec.Descriptor, data []byte, labels map[string]string) error {
	// A store without virtual blobs: within a transaction nothing may be made.
	cs := s.content.inner
	err := content.WriteBlob(ctx, cs, "lus-blob-"+desc.Digest.String(), bytes.NewReader(data), desc, content.WithLabels(labels))
	if err != nil {
		return err
	}
	fields := make([]string, 0, len(labels))
	for k := range labels {
		fields = append(fields, "labels."+k)
	}
	if len(fields) == 0 {
		return nil
	}
	_, err = cs.Update(ctx, content.Info{Digest: desc.Digest, Labels: labels}, fields...)
	return err
}

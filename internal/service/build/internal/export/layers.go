package export

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/cache"
	cacheconfig "github.com/moby/buildkit/cache/config"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/store/content"
)

// What BuildKit keeps with a record of its cache, by its own names.
const (
	keySnapshot  = "cache.snapshot"
	keyDiffID    = "cache.diffID"
	keyBlob      = "cache.blob"
	keyMediaType = "cache.mediatype"
)

// keyLayer is where we keep the hash of a layer, so that a layer is read once
// in its life and not once in the daemon's.
const keyLayer = "lus.layer"

// layers makes sure that every layer below ref is a committed snapshot, and
// returns them with their diff ids, lowest first. Top is the snapshot that
// shows all of them.
func (i *instance) layers(ctx context.Context, ref cache.ImmutableRef, s session.Group) (found []content.Layer, top string, err error) {
	if ref == nil {
		return nil, "", nil
	}
	if err := ready(ctx, ref, s); err != nil {
		return nil, "", err
	}
	chain := ref.LayerChain()
	defer func() { _ = chain.Release(context.WithoutCancel(ctx)) }()
	for _, l := range chain {
		if err := ready(ctx, l, s); err != nil {
			return nil, "", err
		}
		layer, err := i.layer(ctx, l)
		if err != nil {
			return nil, "", err
		}
		found = append(found, layer)
	}
	return found, ref.GetString(keySnapshot), nil
}

// ready commits a snapshot that could still be written to, and extracts one
// that is only a blob so far.
func ready(ctx context.Context, ref cache.ImmutableRef, s session.Group) error {
	if err := ref.Finalize(ctx); err != nil {
		return fmt.Errorf("committing a layer: %w", err)
	}
	if err := ref.Extract(ctx, s); err != nil {
		return fmt.Errorf("extracting a layer: %w", err)
	}
	return nil
}

func (i *instance) layer(ctx context.Context, ref cache.ImmutableRef) (content.Layer, error) {
	name := ref.GetString(keySnapshot)
	if l, ok, err := i.fromImage(ctx, ref, name); ok || err != nil {
		return l, err
	}
	var l content.Layer
	if text := ref.GetString(keyLayer); text != "" && json.Unmarshal([]byte(text), &l) == nil && l.DiffID != "" {
		l.Snapshot = name
		return l, nil
	}
	l, err := i.o.Store.Hash(ctx, name)
	if err != nil {
		return l, err
	}
	if text, err := json.Marshal(l); err == nil {
		_ = ref.SetString(keyLayer, string(text), "") // hashed again next time
	}
	return l, nil
}

// fromImage is the layer of a base image. Its diff id was verified when it was
// extracted or made here. One that was pulled or loaded stays the blob it came as:
// a tar written anew from its files need not have the same bytes.
func (i *instance) fromImage(ctx context.Context, ref cache.ImmutableRef, name string) (content.Layer, bool, error) {
	diff, blob := digest.Digest(ref.GetString(keyDiffID)), digest.Digest(ref.GetString(keyBlob))
	if diff == "" || blob == "" {
		return content.Layer{}, false, nil
	}
	info, err := i.o.Content.Info(ctx, blob)
	if errdefs.IsNotFound(err) {
		// A cache from elsewhere named it, and its files were here already.
		return content.Layer{}, false, nil
	}
	if err != nil {
		return content.Layer{}, false, fmt.Errorf("the base image's layer %s: %w", blob, err)
	}
	l := content.Layer{Snapshot: name, DiffID: diff, Size: info.Size}
	came := pulled(info.Labels) || i.o.Store.Came(ctx, blob) && !i.o.Store.IsVirtual(ctx, blob)
	if blob != diff || came {
		l.Blob = ocispec.Descriptor{MediaType: ociType(ref.GetString(keyMediaType)), Digest: blob, Size: info.Size}
	}
	return l, true, nil
}

// pulled tells from a blob's labels that it came from a registry.
func pulled(labels map[string]string) bool {
	for k := range labels {
		if strings.HasPrefix(k, "containerd.io/distribution.source.") {
			return true
		}
	}
	return false
}

// ociType is the OCI name of a layer's media type: our manifests are OCI ones.
func ociType(t string) string {
	switch t {
	case images.MediaTypeDockerSchema2LayerGzip:
		return ocispec.MediaTypeImageLayerGzip
	case images.MediaTypeDockerSchema2LayerZstd:
		return ocispec.MediaTypeImageLayerZstd
	case images.MediaTypeDockerSchema2Layer, "":
		return ocispec.MediaTypeImageLayer
	}
	return t
}

// remote shows BuildKit's image writer the layers as they are here: tars by
// their diff ids, which nobody has written.
type remote struct {
	cache.ImmutableRef
	layers []content.Layer
}

// GetRemotes implements cache.ImmutableRef.
func (r remote) GetRemotes(context.Context, bool, cacheconfig.RefConfig, bool, session.Group) ([]*solver.Remote, error) {
	out := &solver.Remote{}
	for _, l := range r.layers {
		out.Descriptors = append(out.Descriptors, ocispec.Descriptor{
			MediaType:   ocispec.MediaTypeImageLayer,
			Digest:      l.DiffID,
			Size:        l.Size,
			Annotations: map[string]string{labels.LabelUncompressed: l.DiffID.String()},
		})
	}
	return []*solver.Remote{out}, nil
}

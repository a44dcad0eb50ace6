package export

import (
	"context"

	ccontent "github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/cache"
	cacheconfig "github.com/moby/buildkit/cache/config"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/result"
	"github.com/moby/buildkit/util/compression"
	"github.com/moby/buildkit/util/contentutil"
	"github.com/moby/buildkit/util/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/store/content"
)

// export makes the image and returns its id.
func (i *instance) export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (string, error) {
	if err := refuseAttestations(src); err != nil {
		return "", err
	}
	done := progress.OneOff(ctx, "exporting layers")
	if len(i.names) == 0 {
		// A result that nobody will name is there to be run, if at all: this
		// machine's part of it is kept.
		if here, ok := Here(src); ok && len(src.Refs) > 1 {
			_ = progress.OneOff(ctx, "keeping what is for this machine's platform: an image here is for one")(nil)
			src = here
		}
	}
	ref, err := single(src)
	if err != nil {
		return "", done(err)
	}
	layers, top, err := i.layers(ctx, ref, session.NewGroup(info.SessionID))
	if done(err) != nil {
		return "", err
	}
	config, err := i.config(ctx, src, ref, layers, info)
	if err != nil {
		return "", err
	}
	notes, err := i.annotations(src)
	if err != nil {
		return "", err
	}
	for _, name := range i.names {
		_ = progress.OneOff(ctx, "naming to "+name)(nil)
	}
	_, id, err := i.o.Store.Commit(ctx, content.NewImage{Names: i.names, Config: config, Layers: layers, Top: top, Annotations: notes})
	if err != nil {
		return "", err
	}
	_ = progress.OneOff(ctx, "writing image "+id.String())(nil)
	return id.String(), nil
}

// refuseAttestations refuses what somebody asked for by name. Those that
// clients add on their own are only for places that can hold them.
func refuseAttestations(src *exporter.Source) error {
	for _, list := range src.Attestations {
		for _, a := range list {
			if string(a.Metadata[result.AttestationInlineOnlyKey]) != "true" {
				return errs.New(errs.Unsupported, "an image in the store holds no attestations: send it elsewhere, as with --output type=oci,dest=FILE, or build without them")
			}
		}
	}
	return nil
}

// single returns what was built for the one platform; nil is an empty file system.
func single(src *exporter.Source) (cache.ImmutableRef, error) {
	if len(src.Refs) == 0 {
		return src.Ref, nil
	}
	ps, err := exptypes.ParsePlatforms(src.Metadata)
	if err != nil {
		return nil, err
	}
	if len(ps.Platforms) != 1 {
		return nil, errs.New(errs.Unsupported, "building for several platforms at once is not supported: build them one by one")
	}
	ref, _ := src.FindRef(ps.Platforms[0].ID)
	return ref, nil
}

// config is the image's config, byte for byte as BuildKit's own exporter makes
// it: its writer works on a store in memory and on layers that it need not read.
func (i *instance) config(ctx context.Context, src *exporter.Source, ref cache.ImmutableRef, layers []content.Layer, info exporter.ExportBuildInfo) ([]byte, error) {
	memory := contentutil.NewBuffer()
	w, err := containerimage.NewImageWriter(containerimage.WriterOpt{ContentStore: memory})
	if err != nil {
		return nil, err
	}
	shown := src.Clone()
	shown.Refs, shown.Ref, shown.Attestations = nil, nil, nil
	if ref != nil {
		shown.Ref = remote{ImmutableRef: ref, layers: layers}
	}
	// Without the build's progress: what is written to memory is nobody's news.
	quiet, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	opts := &containerimage.ImageCommitOpts{RefCfg: cacheconfig.RefConfig{Compression: compression.New(compression.Uncompressed)}}
	inline := func(context.Context) (*result.Result[*exptypes.InlineCacheEntry], error) {
		return info.InlineCache(ctx)
	}
	desc, _, err := w.Commit(quiet, shown, info.SessionID, inline, opts, info.CompatibilityVersion, i.Type())
	if err != nil {
		return nil, err
	}
	d, err := digest.Parse(desc.Annotations[exptypes.ExporterConfigDigestKey])
	if err != nil {
		return nil, errs.New(errs.Internal, "the image writer gave no config: %w", err)
	}
	return ccontent.ReadBlob(quiet, memory, ocispec.Descriptor{Digest: d})
}

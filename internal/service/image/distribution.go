package image

import (
	"context"
	"encoding/json"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// Distribution tells what a name stands for at its registry, and for which
// platforms, without bringing any of it here.
func (s *Service) Distribution(ctx context.Context, ref string, auth *image.Auth) (*image.Distribution, error) {
	named, err := parse(ref)
	if err != nil {
		return nil, err
	}
	p := &pull{s: s, named: named}
	resolver := docker.NewResolver(s.registries.resolver(reference.Domain(named), auth))
	name, desc, err := p.resolve(ctx, resolver)
	if err != nil {
		return nil, pullError(named, auth, err)
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return nil, pullError(named, auth, err)
	}
	out := &image.Distribution{Descriptor: image.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest.String(), Size: desc.Size}}
	out.Platforms, err = offered(ctx, fetcher, desc)
	if err != nil {
		return nil, pullError(named, auth, err)
	}
	return out, nil
}

// offered are the platforms of an index, or the one of a manifest's config.
func offered(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) ([]image.Platform, error) {
	list := []image.Platform{}
	if images.IsIndexType(desc.MediaType) {
		var index ocispec.Index
		if err := document(ctx, f, desc, &index); err != nil {
			return nil, err
		}
		for _, m := range index.Manifests {
			if m.Platform != nil {
				list = append(list, image.Platform(*m.Platform))
			}
		}
		return list, nil
	}
	var m ocispec.Manifest
	if err := document(ctx, f, desc, &m); err != nil {
		return nil, err
	}
	if !images.IsConfigType(m.Config.MediaType) {
		return list, nil // an artifact is for no platform
	}
	var config ocispec.Image
	if err := document(ctx, f, m.Config, &config); err != nil {
		return nil, err
	}
	return append(list, image.Platform(config.Platform)), nil
}

// document reads a manifest, an index or a config from the registry.
func document(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor, v any) error {
	if desc.Size > maxConfig {
		return errs.New(errs.Invalid, "the registry's %s is %d bytes, %d are allowed", desc.Digest, desc.Size, maxConfig)
	}
	desc.URLs = nil
	rc, err := f.Fetch(ctx, desc)
	if err != nil {
		return err
	}
	defer rc.Close()
	raw, err := io.ReadAll(io.LimitReader(rc, maxConfig))
	if err != nil {
		return err
	}
	if desc.Digest.Validate() != nil || desc.Digest.Algorithm().FromBytes(raw) != desc.Digest {
		return errs.New(errs.Unavailable, "the registry sent something else than %s: try again, or tell its owner", desc.Digest)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return errs.New(errs.Invalid, "the registry's %s %s is not valid: %w", desc.MediaType, desc.Digest, err)
	}
	return nil
}

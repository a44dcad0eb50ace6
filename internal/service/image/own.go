package image

import (
	"context"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// Own is the registry of this very daemon. It is on the same store, so what is
// pushed there need not be sent: it links what is here already.
type Own interface {
	// Serves reports whether a registry's host, as names of images have it, is it.
	Serves(ctx context.Context, host string) bool
	// Link makes a manifest, and the blobs that it names, a repository's under a
	// tag, with the rights that auth gives. It returns those that were before.
	Link(ctx context.Context, auth *image.Auth, repository, tag, mediaType string, raw []byte) ([]digest.Digest, error)
	// Keeps tells how many repositories it has, and which blobs they keep.
	Keeps(ctx context.Context) (repositories int, blobs []digest.Digest, err error)
}

// link hands the image to our own registry, where it is pushed there.
func (p *push) link(ctx context.Context, m *ocispec.Manifest, desc ocispec.Descriptor, raw []byte, auth *image.Auth) (here bool, err error) {
	if p.s.own == nil || !p.s.own.Serves(ctx, reference.Domain(p.named)) {
		return false, nil
	}
	tag := "latest"
	if t, ok := p.named.(reference.Tagged); ok {
		tag = t.Tag()
	}
	had, err := p.s.own.Link(ctx, auth, reference.Path(p.named), tag, desc.MediaType, raw)
	if err != nil {
		return true, ownError(p.named, auth, err)
	}
	for _, l := range m.Layers {
		if slices.Contains(had, l.Digest) {
			p.to.layer(p.id(l.Digest), "Layer already exists")
		} else {
			p.to.layer(p.id(l.Digest), "Pushed")
		}
	}
	return true, nil
}

// ownError words what our own registry refuses as it would be worded had it been
// asked over the network.
func ownError(named reference.Named, auth *image.Auth, err error) error {
	repo, host := reference.FamiliarName(named), reference.Domain(named)
	switch creds, bearer := credentials(host, auth); {
	case errs.Is(err, errs.Unauthenticated) && creds == nil && bearer == "":
		return loginFirst(repo, host, err)
	case errs.Is(err, errs.Unauthenticated):
		return notAllowed(repo, host, ": "+err.Error(), err)
	case errs.Is(err, errs.Denied) && ownReason(err.Error()):
		return deniedBecause(repo, host, err.Error(), err)
	case errs.Is(err, errs.Denied):
		return notAllowed(repo, host, "", err)
	}
	return err
}

func errOrDone(err error, done func() error) error {
	if err != nil {
		return err
	}
	return done()
}

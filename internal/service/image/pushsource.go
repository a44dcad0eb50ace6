package image

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// sourceLabel begins the label that tells where a blob is known to be.
const sourceLabel = "containerd.io/distribution.source."

// sourceKey is that label for the registry that is pushed to, by its host
// without the port, as the library looks for it.
func (p *push) sourceKey() string {
	host := reference.Domain(p.named)
	if u, err := url.Parse("https://" + host); err == nil {
		host = u.Hostname()
	}
	return sourceLabel + host
}

// sources are the repositories of the same registry that have the blob: it can
// be mounted from there.
func (p *push) sources(ctx context.Context, l ocispec.Descriptor) map[string]string {
	info, err := p.s.store.ContentStore().Info(ctx, l.Digest)
	if err != nil {
		return nil
	}
	key := p.sourceKey()
	if info.Labels[key] == "" {
		return nil
	}
	return map[string]string{key: info.Labels[key]}
}

// maxSources bounds that label: the store takes 4096 bytes with its key.
const maxSources = 2048

// note remembers that the repository has the blob now, and forgets those that it
// knows longest where they are too many.
func (p *push) note(ctx context.Context, l ocispec.Descriptor) error {
	key, repo := p.sourceKey(), reference.Path(p.named)
	info, err := p.s.store.ContentStore().Info(ctx, l.Digest)
	if err != nil || slices.Contains(strings.Split(info.Labels[key], ","), repo) {
		return err
	}
	value := repo
	if old := info.Labels[key]; old != "" {
		value = old + "," + repo
	}
	for len(value) > maxSources {
		_, value, _ = strings.Cut(value, ",")
	}
	_, err = p.s.store.ContentStore().Update(ctx, content.Info{Digest: l.Digest, Labels: map[string]string{key: value}}, "labels."+key)
	return err
}

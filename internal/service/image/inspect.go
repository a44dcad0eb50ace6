package image

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/image"
	store "lus/internal/store/content"
)

// maxConfig bounds an image's config and manifest, which we read into memory.
const maxConfig = 8 << 20

// config is an image's config as it is on disk.
type config struct {
	Created      *time.Time       `json:"created"`
	Author       string           `json:"author"`
	Comment      string           `json:"comment"`
	Architecture string           `json:"architecture"`
	OS           string           `json:"os"`
	Variant      string           `json:"variant"`
	Config       container.Config `json:"config"`
	RootFS       struct {
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
	History []image.History `json:"history"`
}

// Resolve returns the image that ref means: its id, config and layers, and not
// its names or size, which InspectImage adds. A repeated look-up touches
// memory only. The result is shared: do not change it.
func (s *Service) Resolve(ctx context.Context, ref string) (*image.Image, error) {
	n, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	id, err := n.find(ref)
	if err != nil {
		return nil, err
	}
	return s.byID(ctx, id)
}

// byID reads the config called id, once.
func (s *Service) byID(ctx context.Context, id string) (*image.Image, error) {
	if i, ok := s.configs.get(id); ok {
		return i, nil
	}
	raw, err := s.readSmall(ctx, ocispec.Descriptor{Digest: digest.Digest(id)})
	if err != nil {
		return nil, fmt.Errorf("read the config of image %s: %w", short(id), err)
	}
	i, err := readConfig(id, raw)
	if err != nil {
		return nil, err
	}
	s.configs.put(id, i)
	return i, nil
}

func readConfig(id string, raw []byte) (*image.Image, error) {
	var c config
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, errs.New(errs.Invalid, "the config of image %s is not valid: %w", short(id), err)
	}
	i := &image.Image{
		ID: id, Author: c.Author, Comment: c.Comment,
		Architecture: c.Architecture, OS: c.OS, Variant: c.Variant,
		Config: c.Config, History: c.History, Layers: []string{},
	}
	if c.Created != nil {
		i.Created = *c.Created
	}
	for _, d := range c.RootFS.DiffIDs {
		if err := d.Validate(); err != nil {
			return nil, errs.New(errs.Invalid, "the config of image %s names a layer %q: %w", short(id), d, err)
		}
		i.Layers = append(i.Layers, d.String())
	}
	return i, nil
}

// readSmall reads a blob that must fit into memory.
func (s *Service) readSmall(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	info, err := s.store.ContentStore().Info(ctx, desc.Digest)
	if err != nil {
		return nil, err
	}
	if info.Size > maxConfig {
		return nil, errs.New(errs.Invalid, "%s is %d bytes; a manifest or config may have %d", desc.Digest, info.Size, maxConfig)
	}
	desc.Size = info.Size
	return content.ReadBlob(ctx, s.store.ContentStore(), desc)
}

// chainIDs are the names of an image's snapshots, lowest first.
func chainIDs(layers []string) []string {
	diffs := make([]digest.Digest, len(layers))
	for i, l := range layers {
		diffs[i] = digest.Digest(l)
	}
	chains := make([]string, len(layers))
	for i, c := range identity.ChainIDs(diffs) {
		chains[i] = c.String()
	}
	return chains
}

// InspectImage returns all that is known of the image that ref means.
func (s *Service) InspectImage(ctx context.Context, ref string) (*image.Image, error) {
	n, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	id, err := n.find(ref)
	if err != nil {
		return nil, err
	}
	i, err := s.whole(ctx, n, id)
	if err != nil {
		return nil, err
	}
	if chain := chainIDs(i.Layers); len(chain) > 0 {
		i.Dirs, err = s.store.Dirs(ctx, chain[len(chain)-1])
	}
	if err != nil && !errdefs.IsNotFound(err) { // not unpacked: it has no folders yet
		return nil, fmt.Errorf("folders of image %s: %w", short(i.ID), err)
	}
	return i, nil
}

// whole is the image with its names and its size.
func (s *Service) whole(ctx context.Context, n *names, id string) (*image.Image, error) {
	base, err := s.byID(ctx, id)
	if err != nil {
		return nil, err
	}
	i := *base
	i.RepoTags, i.RepoDigests = []string{}, []string{}
	for _, name := range n.byID[id] {
		row := n.byName[name]
		i.Target = row.Target.Digest.String()
		if row.UpdatedAt.After(i.LastTagTime) {
			i.LastTagTime = row.UpdatedAt
		}
		if d := row.Labels[store.LabelRepoDigest]; d != "" && !slices.Contains(i.RepoDigests, familiar(d)) {
			i.RepoDigests = append(i.RepoDigests, familiar(d))
		}
		if isTag(name) {
			i.RepoTags = append(i.RepoTags, familiar(name))
		}
	}
	return &i, s.measure(ctx, &i)
}

// isTag reports whether a name in the store is a name with a tag: neither the
// name of a dangling image nor one by digest.
func isTag(name string) bool {
	if strings.HasPrefix(name, store.DanglingPrefix) {
		return false
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return false
	}
	_, tagged := named.(reference.Tagged)
	return tagged
}

// measure fills in what the image's layers take on disk, in all and by the
// step of its history. Layers that are not unpacked count nothing yet.
func (s *Service) measure(ctx context.Context, i *image.Image) error {
	chain := chainIDs(i.Layers)
	if len(chain) == 0 {
		return nil
	}
	var sizes []int64 // topmost first
	for name := chain[len(chain)-1]; name != ""; {
		info, err := s.store.Snapshotter().Stat(ctx, name)
		if errdefs.IsNotFound(err) {
			break
		}
		if err != nil {
			return fmt.Errorf("size of image %s: %w", short(i.ID), err)
		}
		usage, err := s.store.Snapshotter().Usage(ctx, name)
		if err != nil {
			return fmt.Errorf("size of image %s: %w", short(i.ID), err)
		}
		sizes = append(sizes, usage.Size)
		i.Size += usage.Size
		i.Parts = append(i.Parts, image.Part{Name: name, Size: usage.Size})
		name = info.Parent
	}
	// Layers that were linked together share a snapshot: then nobody can tell
	// the steps apart.
	if len(sizes) == len(chain) {
		i.History = sized(i.History, sizes)
	}
	return nil
}

// sized gives each step that made a layer its size; sizes are topmost first.
func sized(history []image.History, sizes []int64) []image.History {
	out := slices.Clone(history)
	for n := len(out) - 1; n >= 0 && len(sizes) > 0; n-- {
		if !out[n].EmptyLayer {
			out[n].Size, sizes = sizes[0], sizes[1:]
		}
	}
	return out
}

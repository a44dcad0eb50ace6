package image

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"

	"lus/internal/base/errs"
	"lus/internal/store/content"
)

// names is all names of images at one moment. It is never changed.
type names struct {
	byName map[string]images.Image
	byID   map[string][]string // image id -> its names, sorted
	// idByName also knows the names by digest under which images were pulled.
	idByName map[string]string
	ids      []string // sorted
}

// index keeps the names in memory until the store says that they changed.
type index struct {
	mu         sync.Mutex
	generation uint64
	now        *names
}

// current returns the names as the store has them.
func (s *Service) current(ctx context.Context) (*names, error) {
	generation := s.store.Generation() // before reading: a change meanwhile is seen next time
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	if s.names.now != nil && s.names.generation == generation {
		return s.names.now, nil
	}
	all, err := s.store.ImageStore().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the images: %w", err)
	}
	n := &names{byName: map[string]images.Image{}, byID: map[string][]string{}, idByName: map[string]string{}}
	for _, i := range all {
		id, err := s.idOf(ctx, i)
		if err != nil {
			s.log.Warn("an image in the store cannot be read", "name", i.Name, "error", err)
			continue
		}
		n.byName[i.Name] = i
		n.byID[id] = append(n.byID[id], i.Name)
		n.idByName[i.Name] = id
		if d := i.Labels[content.LabelRepoDigest]; d != "" {
			n.idByName[d] = id
		}
	}
	for id, own := range n.byID {
		slices.Sort(own)
		n.ids = append(n.ids, id)
	}
	slices.Sort(n.ids)
	s.names.now, s.names.generation = n, generation
	return n, nil
}

// idOf is the digest of the image's config. Whoever names an image labels the
// name with it; for others it is read from the manifest.
func (s *Service) idOf(ctx context.Context, i images.Image) (string, error) {
	if id := i.Labels[content.LabelConfig]; id != "" {
		return id, nil
	}
	desc, err := images.Config(ctx, s.store.ContentStore(), i.Target, platforms.Only(s.host))
	if err != nil {
		return "", err
	}
	return desc.Digest.String(), nil
}

// find returns the id of the image that ref means: a whole id, a name, a name
// with digest, or the beginning of an id that only one image has.
func (n *names) find(ref string) (string, error) {
	if id, ok := fullID(ref); ok {
		if n.byID[id] != nil {
			return id, nil
		}
		return "", noSuchImage(ref)
	}
	if named, err := parse(ref); err == nil {
		if id, ok := n.named(named); ok {
			return id, nil
		}
	}
	return n.prefix(ref)
}

func (n *names) named(named reference.Named) (string, bool) {
	id, ok := n.idByName[named.String()]
	return id, ok
}

func (n *names) prefix(ref string) (string, error) {
	digits := strings.TrimPrefix(ref, "sha256:")
	if !hexadecimal(digits) {
		if _, err := parse(ref); err != nil {
			return "", err
		}
		return "", noSuchImage(ref)
	}
	at, _ := slices.BinarySearch(n.ids, "sha256:"+digits)
	var found []string
	for _, id := range n.ids[at:] {
		if !strings.HasPrefix(id, "sha256:"+digits) {
			break
		}
		found = append(found, id)
	}
	switch len(found) {
	case 0:
		return "", noSuchImage(ref)
	case 1:
		return found[0], nil
	}
	return "", errs.New(errs.Invalid, "the id %s is ambiguous: %d images begin with it; write more of it", ref, len(found))
}

// noSuchImage is worded as Docker's clients expect.
func noSuchImage(ref string) error {
	shown := ref
	if named, err := parse(ref); err == nil && !hexadecimal(ref) {
		shown = reference.FamiliarString(named)
	}
	return errs.New(errs.NotFound, "No such image: %s", shown)
}

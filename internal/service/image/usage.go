package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/model/event"
	"lus/internal/model/filter"
	"lus/internal/model/image"
)

// Usage tells what the images take, each and together.
func (s *Service) Usage(ctx context.Context) (*image.Usage, error) {
	list, err := s.ListImages(ctx, true, nil)
	if err != nil {
		return nil, err
	}
	packed, err := s.blobs(ctx)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, i := range list {
		for _, p := range i.Parts {
			count[p.Name]++
		}
	}
	u := &image.Usage{Images: list, Total: packed}
	if err := s.registryUsage(ctx, u); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, i := range list {
		for _, p := range i.Parts {
			if count[p.Name] > 1 {
				i.SharedSize += p.Size
			}
			if !seen[p.Name] {
				seen[p.Name] = true
				u.Total += p.Size
			}
		}
	}
	return u, nil
}

// registryUsage tells what only our own registry keeps.
func (s *Service) registryUsage(ctx context.Context, u *image.Usage) error {
	if s.own == nil {
		return nil
	}
	repositories, kept, err := s.own.Keeps(ctx)
	if err != nil || len(kept) == 0 {
		return err
	}
	u.Repositories = repositories
	blobs := map[digest.Digest]content.Info{}
	err = s.store.ContentStore().Walk(ctx, func(i content.Info) error {
		blobs[i.Digest] = i
		return nil
	})
	if err != nil {
		return fmt.Errorf("size of the registry: %w", err)
	}
	needed, err := s.needed(ctx, blobs)
	if err != nil {
		return err
	}
	for _, d := range kept {
		if !needed[d] {
			u.Registry += blobs[d].Size
		}
	}
	return nil
}

// needed are the blobs that images need: what their names stand for, what containers
// hold of those without, and all that these refer to.
func (s *Service) needed(ctx context.Context, blobs map[digest.Digest]content.Info) (map[digest.Digest]bool, error) {
	n, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	var unseen []digest.Digest
	for _, row := range n.byName {
		unseen = append(unseen, row.Target.Digest)
	}
	s.inUse.mu.Lock()
	for id := range s.inUse.held {
		unseen = append(unseen, digest.Digest(id))
	}
	s.inUse.mu.Unlock()
	found := map[digest.Digest]bool{}
	for len(unseen) > 0 {
		d := unseen[len(unseen)-1]
		unseen = unseen[:len(unseen)-1]
		if found[d] {
			continue
		}
		found[d] = true
		for key, value := range blobs[d].Labels {
			if strings.HasPrefix(key, "containerd.io/gc.ref.content") {
				unseen = append(unseen, digest.Digest(value))
			}
		}
	}
	return found, nil
}

// blobs is what the blobs take: configs, manifests, and layers as they were
// pulled or made to be pushed.
func (s *Service) blobs(ctx context.Context) (total int64, err error) {
	err = s.store.ContentStore().Walk(ctx, func(i content.Info) error {
		total += i.Size
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("size of the blobs: %w", err)
	}
	return total, nil
}

// PruneImages removes the images that no container was made from: those
// without a name, or with the filter dangling=false all. It tells what the disk
// got back: layers that another image or the build cache has too stay.
func (s *Service) PruneImages(ctx context.Context, f filter.Filters) (removed []image.Removed, freed int64, err error) {
	list, tagged, err := s.prunable(ctx, f)
	if err != nil {
		return nil, 0, err
	}
	before, err := s.blobs(ctx)
	if err != nil {
		return nil, 0, err
	}
	keys, err := s.store.BackendKeys(ctx)
	if err != nil {
		return nil, 0, err
	}
	size := map[string]int64{} // by what is on the disk, which several names may lead to
	removed = []image.Removed{}
	for _, i := range list {
		gone, err := s.removeUnused(ctx, i.ID, tagged)
		if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Conflict) {
			continue // gone, named or used meanwhile
		}
		if err != nil {
			return removed, 0, err
		}
		removed = append(removed, gone...)
		for _, p := range i.Parts {
			size[keys[p.Name]] = p.Size
		}
	}
	if err := errors.Join(s.store.DropPartials(ctx), s.forgetNameless(ctx)); err != nil {
		return removed, 0, err
	}
	s.collect(ctx)
	if len(removed) > 0 {
		if freed, err = s.freed(ctx, size, before); err != nil {
			return removed, 0, err
		}
	}
	s.emit(event.New("image", "prune", "", map[string]string{"reclaimed": strconv.FormatInt(freed, 10)}, time.Now()))
	return removed, freed, nil
}

// removeUnused removes an image that was to be pruned when they were listed, unless
// somebody has made a container of it since, or named it: where tagged images go
// too, a name does not keep it.
func (s *Service) removeUnused(ctx context.Context, id string, tagged bool) ([]image.Removed, error) {
	n, done, err := s.beginRemoval(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	all := n.byID[id]
	if len(all) == 0 || !tagged && slices.ContainsFunc(all, isTag) {
		return nil, noSuchImage(id)
	}
	r := removal{id: id, ref: id, byID: true, all: all, names: all}
	if err := s.unused(&r); err != nil {
		return nil, err
	}
	return s.remove(ctx, n, r)
}

// prunable lists the images that match f and that no container needs, and tells
// whether those with tags are among them.
func (s *Service) prunable(ctx context.Context, f filter.Filters) (list []*image.Image, tagged bool, err error) {
	for key := range f {
		if !slices.Contains([]string{"dangling", "label", "label!", "until"}, key) {
			return nil, false, errs.New(errs.Invalid, "invalid filter '%s': images are pruned by dangling, label, label! and until", key)
		}
	}
	dangling, err := truth(f["dangling"])
	if err != nil {
		return nil, false, err
	}
	tagged = dangling != nil && !*dangling
	list, err = s.ListImages(ctx, true, filter.Filters{"label": f["label"], "label!": f["label!"], "until": f["until"]})
	if err != nil {
		return nil, false, err
	}
	held := map[string]bool{}
	if s.held != nil {
		if held, err = s.held(ctx); err != nil {
			return nil, false, err
		}
	}
	return slices.DeleteFunc(list, func(i *image.Image) bool {
		return held[i.ID] || !tagged && len(i.RepoTags) > 0 || s.used(i.ID)
	}), tagged, nil
}

func (s *Service) used(id string) bool {
	if s.users == nil {
		return false
	}
	running, stopped := s.users.ContainersUsing(id)
	return len(running)+len(stopped) > 0
}

// forgetHold lets go of the layers of an image that has just lost its names,
// unless a container needs them, or may be about to: then a sweep does it.
func (s *Service) forgetHold(ctx context.Context, id string) error {
	s.inUse.mu.Lock()
	h := s.inUse.held[id]
	held := h != nil && !h.fresh && !s.used(id)
	if held {
		h.leaving = true
	}
	s.inUse.mu.Unlock()
	if !held {
		return nil
	}
	return s.letGo(ctx, id)
}

// forgetNameless lets go of the layers of images that lost their names while a
// container, or the end of a build, took hold of them.
func (s *Service) forgetNameless(ctx context.Context) error {
	s.inUse.mu.Lock()
	held := slices.Collect(maps.Keys(s.inUse.held))
	s.inUse.mu.Unlock()
	n, err := s.current(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, id := range held {
		if len(n.byID[id]) > 0 {
			continue
		}
		if err := s.forgetHold(ctx, id); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// freed is the size of those parts that are gone, and of the blobs.
func (s *Service) freed(ctx context.Context, size map[string]int64, before int64) (int64, error) {
	after, err := s.blobs(ctx)
	if err != nil {
		return 0, err
	}
	keys, err := s.store.BackendKeys(ctx)
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		delete(size, key)
	}
	total := max(before-after, 0)
	for _, n := range size {
		total += n
	}
	return total, nil
}

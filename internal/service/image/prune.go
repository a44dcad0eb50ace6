package image

import (
	"context"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/filter"
	"lus/internal/model/image"
)

// PruneImages removes the images that no container uses: those without a name,
// and with the filter dangling=false all.
func (s *Service) PruneImages(ctx context.Context, f filter.Filters) (removed []image.Removed, freed int64, err error) {
	for key := range f {
		if !slices.Contains([]string{"dangling", "until", "label", "label!"}, key) {
			return nil, 0, errs.New(errs.Invalid, "invalid filter '%s': a prune can be limited by dangling, until, label and label!", key)
		}
	}
	dangling, err := truth(f["dangling"])
	if err != nil {
		return nil, 0, err
	}
	wanted := filter.Filters{"until": f["until"], "label": f["label"], "label!": f["label!"]}
	list, err := s.ListImages(ctx, true, wanted)
	if err != nil {
		return nil, 0, err
	}
	before, err := s.taken(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, i := range list {
		if (dangling == nil || *dangling) && len(i.RepoTags) > 0 {
			continue
		}
		if s.users != nil {
			if running, stopped := s.users.ContainersUsing(i.ID); len(running)+len(stopped) > 0 {
				continue
			}
		}
		out, err := s.RemoveImage(ctx, strings.TrimPrefix(i.ID, "sha256:"), true, true)
		if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Conflict) {
			continue // gone, or taken, meanwhile
		}
		if err != nil {
			return removed, 0, err
		}
		removed = append(removed, out...)
	}
	after, err := s.taken(ctx)
	return removed, max(0, before-after), err
}

// taken is what the layers of all images take, each counted once.
func (s *Service) taken(ctx context.Context) (int64, error) {
	list, err := s.ListImages(ctx, true, nil)
	if err != nil {
		return 0, err
	}
	seen, total := map[string]bool{}, int64(0)
	for _, i := range list {
		for _, chain := range chainIDs(i.Layers) {
			if seen[chain] {
				continue
			}
			seen[chain] = true
			if u, err := s.store.Snapshotter().Usage(ctx, chain); err == nil {
				total += u.Size
			}
		}
	}
	return total, nil
}

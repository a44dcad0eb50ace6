package content

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
)

// SetName lets a name stand for an image, which must be there. The image that had
// the name before stays, dangling, if it has no other; where it is the same, what
// is known of where it can be had stays too. The name of a dangling image is for
// one that has no other. Labels must hold LabelConfig.
func (s *Store) SetName(ctx context.Context, i images.Image) error {
	return s.Update(ctx, func(ctx context.Context) error {
		if _, err := s.content.inner.Info(ctx, i.Target.Digest); err != nil {
			return err
		}
		old, err := s.images.Get(ctx, i.Name)
		if errdefs.IsNotFound(err) && strings.HasPrefix(i.Name, DanglingPrefix) {
			return s.KeepDangling(ctx, i)
		}
		if errdefs.IsNotFound(err) {
			if _, err := s.images.Create(ctx, i); err != nil {
				return err
			}
			return s.dropDangling(ctx, i)
		}
		if err != nil {
			return err
		}
		if known := old.Labels[LabelRepoDigest]; known != "" && i.Labels[LabelRepoDigest] == "" && old.Labels[LabelConfig] == i.Labels[LabelConfig] {
			i.Labels = maps.Clone(i.Labels)
			i.Labels[LabelRepoDigest] = known
		}
		if _, err := s.images.Update(ctx, i, "target", "labels"); err != nil {
			return err
		}
		if err := s.KeepDangling(ctx, old); err != nil {
			return err
		}
		return s.dropDangling(ctx, i)
	})
}

// KeepDangling gives an image that has no name one by its id. It is for an Update
// that takes its last one.
func (s *Store) KeepDangling(ctx context.Context, old images.Image) error {
	id := old.Labels[LabelConfig]
	if id == "" {
		return nil
	}
	others, err := s.namesOf(ctx, id)
	if err != nil || len(others) > 0 {
		return err
	}
	old.Name, old.Labels = DanglingPrefix+id, maps.Clone(old.Labels)
	delete(old.Labels, LabelRepoDigest) // the registry has something else there now
	old.CreatedAt, old.UpdatedAt = time.Time{}, time.Time{}
	_, err = s.images.Create(ctx, old)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// dropDangling removes the name by id of an image that now has a real one.
func (s *Store) dropDangling(ctx context.Context, i images.Image) error {
	dangling := DanglingPrefix + i.Labels[LabelConfig]
	if i.Name == dangling {
		return nil
	}
	err := s.images.Delete(ctx, dangling)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func (s *Store) namesOf(ctx context.Context, id string) ([]images.Image, error) {
	return s.images.List(ctx, fmt.Sprintf("labels.%q==%s", LabelConfig, id))
}

package image

import (
	"context"
	"errors"
	"fmt"

	"lus/internal/base/ids"
	store "lus/internal/store/content"
)

// newLayer makes a layer on a parent, the snapshot of that name or none, out of
// what fill puts into a folder. The verb is the command's, for names and errors.
func (s *Service) newLayer(ctx context.Context, verb, parent string, fill func(dir string) error) (l store.Layer, err error) {
	name := "lus-" + verb + "-" + ids.New()
	key := name + "-new"
	sn := s.store.Snapshotter()
	mounts, err := sn.Prepare(ctx, key, parent)
	if err != nil {
		return l, fmt.Errorf("make room for the %s: %w", verb, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.removeSnapshot(ctx, key))
		}
	}()
	dir, _, err := folders(mounts)
	if err != nil {
		return l, err
	}
	if err := fill(dir); err != nil {
		return l, err
	}
	if err := sn.Commit(ctx, name, key); err != nil {
		return l, fmt.Errorf("keep the %s: %w", verb, err)
	}
	key = name
	return s.finish(ctx, name, dir)
}

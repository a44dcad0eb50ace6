package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/mount"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/mounts"
)

// The files of an image that a container mounts lie, read-only, in a folder of
// the container as long as it runs or somebody looks into its files.

// imageDir is where the i-th mount of a container is, where that is an image.
func (p paths) imageDir(i int) string { return filepath.Join(p.dir, fmt.Sprint("image", i)) }

// findImage notes which image a mount stands for, and has its files held.
func (e *Engine) findImage(ctx context.Context, m *mounts.Mount) error {
	if m.Name == "" { // else it is another container's
		img, err := e.Images.Resolve(ctx, m.Source)
		if errs.Is(err, errs.NotFound) {
			// Not NotFound: clients would pull the container's own image for that.
			return errs.New(errs.Invalid, "image %s, which is to be mounted at %s, is not here: pull or build it first", m.Source, m.Target)
		}
		if err != nil {
			return err
		}
		m.Name = img.ID
	}
	layers, err := e.Images.Layers(ctx, m.Name)
	if err == nil && len(layers.Dirs) == 0 {
		err = errs.New(errs.Invalid, "image %s has no files to mount", m.Source)
	}
	return err
}

// holdImages mounts the images among a container's mounts; steps to unmount them
// are added to u.
func (e *Engine) holdImages(ctx context.Context, id string, ms []mounts.Mount, u *undo) error {
	for i, m := range ms {
		if m.Type != mounts.Image {
			continue
		}
		dir := e.paths(id).imageDir(i)
		u.add(func(context.Context) error { return dropImage(dir) })
		if mounted, err := mountinfo.Mounted(dir); err == nil && mounted {
			continue
		}
		layers, err := e.Images.Layers(ctx, m.Name)
		if err != nil {
			return err
		}
		if err := mountImage(layers.Dirs, dir); err != nil {
			return errs.New(errs.Unavailable, "cannot mount image %s: %w", m.Source, err)
		}
	}
	return nil
}

func mountImage(layers []string, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	files, err := mount.Overlay{Lower: layers}.Mount()
	if err != nil {
		return err
	}
	defer files.Close()
	return unix.MoveMount(int(files.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

func dropImage(dir string) error {
	if err := unmountAt(dir); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// dropImages unmounts what a crash left of a container's images.
func (p paths) dropImages() error {
	dirs, err := filepath.Glob(filepath.Join(p.dir, "image*")) // fails only for a bad pattern
	for _, dir := range dirs {
		err = errors.Join(err, dropImage(dir))
	}
	return err
}

// reconcileImages remembers what those who run have mounted, and unmounts what a
// crash left.
func (e *Engine) reconcileImages(ctx context.Context) error {
	var failed []error
	for _, u := range e.units {
		switch {
		case !slices.ContainsFunc(u.mounts, func(m mounts.Mount) bool { return m.Type == mounts.Image }):
		case u.rec.State.Running():
			failed = append(failed, e.holdImages(ctx, u.id, u.mounts, &u.held))
		default:
			failed = append(failed, e.paths(u.id).dropImages())
		}
	}
	return errors.Join(failed...)
}

// images are the ids of the images that a container needs: its own, and those it
// mounts.
func (u *unit) images() (own string, mounted []string, rec container.Container) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, m := range u.mounts {
		if m.Type == mounts.Image && m.Name != "" {
			mounted = append(mounted, m.Name)
		}
	}
	return u.rec.Image, mounted, u.rec
}

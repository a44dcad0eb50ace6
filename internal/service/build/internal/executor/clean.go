package executor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// clean takes away what a killed daemon left: containers, mounts, folders.
// None of it is worth failing the start for.
func (e *Executor) clean(ctx context.Context) {
	e.cleanContainers(ctx)
	if err := Unmount(mountinfo.PrefixFilter(e.o.Dir)); err != nil {
		e.o.Log.Warn("unmounting what a killed build left", "dir", e.o.Dir, "err", err)
		return // what is still mounted must not be entered
	}
	entries, err := os.ReadDir(e.o.Dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if err := removeFlat(filepath.Join(e.o.Dir, entry.Name())); err != nil {
			e.o.Log.Warn("removing what a killed build left", "dir", entry.Name(), "err", err)
		}
	}
}

func (e *Executor) cleanContainers(ctx context.Context) {
	all, err := e.o.Runtime.List(ctx)
	if err != nil {
		e.o.Log.Warn("listing the containers of killed builds", "err", err)
		return
	}
	for _, st := range all {
		if !strings.HasPrefix(st.Container, Prefix) || st.Exec != "" {
			continue
		}
		if err := e.o.Runtime.Delete(ctx, st.Container); err != nil && !errs.Is(err, errs.NotFound) {
			e.o.Log.Warn("removing the container of a killed build", "container", st.Container, "err", err)
		}
	}
}

// Unmount detaches every mount that filter does not skip, deepest first.
func Unmount(filter mountinfo.FilterFunc) error {
	mounts, err := mountinfo.GetMounts(filter)
	if err != nil {
		return err
	}
	var points []string
	for _, m := range mounts {
		points = append(points, m.Mountpoint)
	}
	slices.SortFunc(points, func(a, b string) int { return strings.Compare(b, a) })
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return &os.PathError{Op: "unmount", Path: p, Err: err}
		}
	}
	return nil
}

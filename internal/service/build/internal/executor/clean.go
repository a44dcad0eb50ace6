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
	"lus/internal/linux/cgroup"
)

// Clean takes away what a killed daemon left: containers, cgroups, mounts,
// folders. No step may run meanwhile. None of it is worth failing a start for.
func Clean(ctx context.Context, o Options) {
	cleanContainers(ctx, o)
	cleanCgroups(o)
	dir, err := filepath.EvalSymlinks(o.Dir) // as mounts are listed
	if err != nil {
		return // no step has ever run
	}
	if err := Unmount(mountinfo.PrefixFilter(dir)); err != nil {
		o.Log.Warn("unmounting what a killed build left", "dir", dir, "err", err)
		return // what is still mounted must not be entered
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if err := removeFlat(filepath.Join(dir, entry.Name())); err != nil {
			o.Log.Warn("removing what a killed build left", "dir", entry.Name(), "err", err)
		}
	}
}

func cleanContainers(ctx context.Context, o Options) {
	all, err := o.Runtime.List(ctx)
	if err != nil {
		o.Log.Warn("listing the containers of killed builds", "err", err)
		return
	}
	for _, st := range all {
		if !strings.HasPrefix(st.Container, Prefix) || st.Exec != "" {
			continue
		}
		if err := o.Runtime.Delete(ctx, st.Container); err != nil && !errs.Is(err, errs.NotFound) {
			o.Log.Warn("removing the container of a killed build", "container", st.Container, "err", err)
		}
	}
}

// cleanCgroups removes those that no container is left of.
func cleanCgroups(o Options) {
	if o.Cgroup == "" {
		return
	}
	sys, err := cgroup.Detect()
	if err == nil {
		var parent *cgroup.Group
		if parent, err = sys.Group(o.Cgroup); err == nil {
			err = parent.Sweep(func(name string) bool { return !strings.HasPrefix(name, Prefix) })
		}
	}
	if err != nil {
		o.Log.Warn("removing the cgroups of killed builds", "err", err)
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

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/event"
	"lus/internal/model/filter"
	"lus/internal/model/volume"
	"lus/internal/service/engine/internal/bus"
	"lus/internal/service/engine/internal/mounts"
	"lus/internal/service/engine/internal/names"
)

// labelAnonymous marks the volumes nobody named, as Docker does.
const labelAnonymous = "com.docker.volume.anonymous"

// CreateVolume makes a volume, or finds the one of that name.
func (e *Engine) CreateVolume(ctx context.Context, req *volume.CreateRequest) (*volume.Volume, error) {
	if req.Driver != "" && req.Driver != "local" {
		return nil, errs.New(errs.NotFound, "error looking up volume plugin %s: plugin %q not found; Lus has the driver local", req.Driver, req.Driver)
	}
	if req.Name != "" {
		if err := names.Check("volume", req.Name); err != nil {
			return nil, err
		}
	}
	if err := checkVolumeOptions(req.DriverOpts); err != nil {
		return nil, err
	}
	v := volume.Volume{Name: req.Name, Labels: maps.Clone(req.Labels), Options: req.DriverOpts}
	if v.Labels == nil {
		v.Labels = map[string]string{}
	}
	if v.Name == "" {
		v.Name, v.Anonymous = ids.New(), true
		v.Labels[labelAnonymous] = ""
	}
	got, err := e.makeVolume(ctx, v)
	if err != nil {
		return nil, err
	}
	out := got.Volume
	return &out, nil
}

// makeVolume makes v's folder and record, or returns the volume of that name.
func (e *Engine) makeVolume(ctx context.Context, v volume.Volume) (*volumeEntry, error) {
	v.Driver, v.Scope, v.CreatedAt = "local", "local", e.Now()
	dir := filepath.Join(e.Layout.Volumes(), v.Name)
	v.Mountpoint = filepath.Join(dir, "_data")
	e.mu.Lock()
	if have := e.volumes[v.Name]; have != nil {
		e.mu.Unlock()
		return have, nil
	}
	entry := &volumeEntry{Volume: v}
	entry.fill.Lock() // nobody uses it before it is there
	defer entry.fill.Unlock()
	e.volumes[v.Name] = entry
	e.mu.Unlock()

	err := os.MkdirAll(e.Layout.Volumes(), 0o710)
	if err == nil {
		err = os.MkdirAll(v.Mountpoint, 0o755)
	}
	if err == nil {
		err = e.saveVolume(ctx, &v)
	}
	if err != nil {
		e.mu.Lock()
		delete(e.volumes, v.Name)
		e.mu.Unlock()
		return nil, errs.New(errs.Unavailable, "cannot make volume %s: %w", v.Name, roomless(err))
	}
	e.tellVolume(v.Name, "create")
	return entry, nil
}

func (e *Engine) tellVolume(name, action string, more ...string) {
	attr := map[string]string{"driver": "local"}
	for i := 0; i+1 < len(more); i += 2 {
		attr[more[i]] = more[i+1]
	}
	e.events.Publish(event.New("volume", action, name, attr, e.Now()))
}

// tellMounts tells that a run's volumes are mounted, or no more; called with the
// unit's lock held.
func (e *Engine) tellMounts(u *unit, action string) {
	for _, m := range u.mounts {
		switch {
		case m.Type != mounts.Volume:
		case action == "mount":
			e.tellVolume(m.Name, action, "container", u.id, "destination", m.Target, "read/write", strconv.FormatBool(!m.ReadOnly), "propagation", m.Propagation)
		default:
			e.tellVolume(m.Name, action, "container", u.id)
		}
	}
}

func (e *Engine) volume(name string) (*volumeEntry, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if v := e.volumes[name]; v != nil {
		return v, nil
	}
	return nil, errs.New(errs.NotFound, "get %s: no such volume", name)
}

// volumeDir is the folder to mount for m. A part of a volume comes opened too,
// to be mounted by its descriptor: its name is the word of whoever else has the
// volume, and may lead elsewhere the next moment. The caller closes it.
func (e *Engine) volumeDir(m mounts.Mount) (string, *os.File, error) {
	v, err := e.volume(m.Name)
	if err != nil {
		return "", nil, err
	}
	dir := v.source()
	if _, err := os.Stat(dir); err != nil {
		return "", nil, errs.New(errs.Unavailable, "the folder of volume %s cannot be used: %w", m.Name, err)
	}
	if m.Subpath == "" {
		return dir, nil, nil
	}
	part, err := subpath(dir, m.Subpath, "volume")
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d", part.Fd()), part, nil
}

// subpath opens what lies at sub in a volume or an image. Links in there are
// others' and must not lead out.
func subpath(dir, sub, what string) (*os.File, error) {
	base, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(int(base.Fd()), sub, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), sub), nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR): // something was renamed meanwhile
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			return nil, errs.New(errs.Invalid, "cannot access path %s: no such file or directory in the %s", sub, what)
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.ELOOP):
			return nil, errs.New(errs.Invalid, "invalid subpath %q: it leads out of the %s", sub, what)
		default:
			return nil, &os.PathError{Op: "open", Path: sub, Err: err}
		}
	}
}

// InspectVolume returns one volume.
func (e *Engine) InspectVolume(_ context.Context, name string) (*volume.Volume, error) {
	v, err := e.volume(name)
	if err != nil {
		return nil, err
	}
	out := v.Volume
	return &out, nil
}

// users are the containers that mount a volume.
func (e *Engine) users(name string) []*unit {
	var out []*unit
	for _, u := range e.all() {
		u.mu.Lock()
		uses := slices.ContainsFunc(u.mounts, func(m mounts.Mount) bool { return m.Type == mounts.Volume && m.Name == name })
		u.mu.Unlock()
		if uses {
			out = append(out, u)
		}
	}
	return out
}

// ListVolumes lists the volumes that match f.
func (e *Engine) ListVolumes(_ context.Context, f filter.Filters) ([]*volume.Volume, error) {
	if err := known(f, "name", "driver", "label", "dangling"); err != nil {
		return nil, err
	}
	e.mu.RLock()
	entries := slices.Collect(maps.Values(e.volumes))
	e.mu.RUnlock()
	out := []*volume.Volume{}
	for _, v := range entries {
		if f.Match("name", func(w string) bool { return strings.Contains(v.Name, w) }) &&
			f.Match("driver", func(w string) bool { return v.Driver == w }) &&
			bus.All(f["label"], func(w string) bool { return bus.Label(v.Labels, w) }) &&
			f.Match("dangling", func(w string) bool { return yes(w) == (len(e.users(v.Name)) == 0) }) {
			c := v.Volume
			out = append(out, &c)
		}
	}
	slices.SortFunc(out, func(a, b *volume.Volume) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func yes(s string) bool { return s == "1" || strings.EqualFold(s, "true") }

// known refuses filters that nobody would look at.
func known(f filter.Filters, keys ...string) error {
	for k := range f {
		if !slices.Contains(keys, k) {
			return errs.New(errs.Invalid, "invalid filter '%s'; known are %s", k, strings.Join(keys, ", "))
		}
	}
	return nil
}

// RemoveVolume removes a volume that no container has. Force: one that is not
// there is no error.
func (e *Engine) RemoveVolume(ctx context.Context, name string, force bool) error {
	v, err := e.volume(name)
	if err != nil {
		if force {
			return nil
		}
		return err
	}
	v.fill.Lock()
	defer v.fill.Unlock()
	if us := e.users(name); len(us) > 0 {
		rec := us[0].snapshot()
		return errs.New(errs.Conflict, "remove %s: volume is in use - [%s]: remove container %s first", name, rec.ID, rec.Name)
	}
	if !e.hideVolume(v) {
		return nil // somebody else did
	}
	if err := e.forgetVolume(ctx, name); err != nil {
		e.mu.Lock()
		e.volumes[name] = v
		e.mu.Unlock()
		return err
	}
	e.tellVolume(name, "destroy")
	return v.removeFolder()
}

// hideVolume takes a volume out of memory, and reports whether it was there.
func (e *Engine) hideVolume(v *volumeEntry) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.volumes[v.Name] != v {
		return false
	}
	delete(e.volumes, v.Name)
	return true
}

// dropVolume removes a volume that is hidden and told to be gone already.
func (e *Engine) dropVolume(ctx context.Context, v *volumeEntry) error {
	if err := e.forgetVolume(ctx, v.Name); err != nil {
		return err // the next daemon finds it
	}
	return v.removeFolder()
}

func (v *volumeEntry) removeFolder() error {
	if err := os.RemoveAll(filepath.Dir(v.Mountpoint)); err != nil {
		return errs.New(errs.Unavailable, "volume %s is forgotten, but its folder could not be removed: %w", v.Name, err)
	}
	return nil
}

// PruneVolumes removes the anonymous volumes that no container has; with the
// filter all=true the named ones too.
func (e *Engine) PruneVolumes(ctx context.Context, f filter.Filters) (removed []string, freed int64, err error) {
	if err := known(f, "all", "label", "label!"); err != nil {
		return nil, 0, err
	}
	all := slices.ContainsFunc(f["all"], yes)
	list, err := e.ListVolumes(ctx, filter.Filters{"dangling": {"true"}, "label": f["label"]})
	if err != nil {
		return nil, 0, err
	}
	for _, v := range list {
		if !v.Anonymous && !all || slices.ContainsFunc(f["label!"], func(w string) bool { return bus.Label(v.Labels, w) }) {
			continue
		}
		size := diskUsage(v.Mountpoint)
		if err := e.RemoveVolume(ctx, v.Name, false); errs.Is(err, errs.Conflict) || errs.Is(err, errs.NotFound) {
			continue // taken, or gone, meanwhile
		} else if err != nil {
			return removed, freed, err
		}
		removed, freed = append(removed, v.Name), freed+size
	}
	e.tellPruned("volume", freed)
	return removed, freed, nil
}

// VolumesUsage lists the volumes with what they take and how many containers
// have them.
func (e *Engine) VolumesUsage(ctx context.Context) ([]*volume.Volume, error) {
	list, err := e.ListVolumes(ctx, nil)
	for _, v := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v.UsageData = &volume.Usage{Size: diskUsage(v.Mountpoint), RefCount: int64(len(e.users(v.Name)))}
	}
	return list, err
}

// diskUsage counts the bytes of the files below dir, hard links once and holes
// not at all; what vanishes meanwhile does not count.
func diskUsage(dir string) int64 {
	var total int64
	seen := map[uint64]bool{}
	count := func(d fs.DirEntry) {
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && (st.Nlink == 1 || !seen[st.Ino]) {
			seen[st.Ino] = true
			total += min(st.Size, st.Blocks*512)
		}
	}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			count(d)
		}
		return nil
	})
	return total
}

// emptyFolder removes what is in dir, which stays.
func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var failed []error
	for _, d := range entries {
		failed = append(failed, os.RemoveAll(filepath.Join(dir, d.Name())))
	}
	return errors.Join(failed...)
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/container"
	"lus/internal/model/image"
	"lus/internal/model/volume"
	"lus/internal/service/engine/internal/mounts"
	"lus/internal/service/engine/internal/union"
)

// volumesFrom adds the volumes and binds of other containers; what the
// container mounts there itself wins.
func (e *Engine) volumesFrom(from []string, own []mounts.Mount) ([]mounts.Mount, error) {
	for _, f := range from {
		name, mode, _ := strings.Cut(f, ":")
		if mode != "" && mode != "ro" && mode != "rw" && mode != "z" && mode != "Z" {
			return nil, errs.New(errs.Invalid, "invalid mode for volumes-from: %s", mode)
		}
		u, err := e.find(name)
		if err != nil {
			return nil, err
		}
		u.mu.Lock()
		theirs := u.mounts
		u.mu.Unlock()
		for _, m := range theirs {
			if m.Type == mounts.Tmpfs || slices.ContainsFunc(own, func(o mounts.Mount) bool { return o.Target == m.Target && !o.Anonymous }) {
				continue
			}
			own = slices.DeleteFunc(own, func(o mounts.Mount) bool { return o.Target == m.Target })
			m.ReadOnly = m.ReadOnly || mode == "ro"
			m.Anonymous, m.NoCopy = false, true // it is the other's
			own = append(own, m)
		}
	}
	mounts.Sort(own)
	return own, nil
}

// prepareVolumes makes the volumes a new container names, fills those that are
// empty with what the image has at their place, and notes the mounts in the
// record. The volumes made for a container that fails are taken back by clear.
func (e *Engine) prepareVolumes(ctx context.Context, u *unit, img *image.Image) error {
	u.mu.Lock()
	ms := slices.Clone(u.mounts)
	u.mu.Unlock()
	var layers *union.FS
	defer func() {
		if layers != nil {
			layers.Close()
		}
	}()
	for i := range ms {
		m := &ms[i]
		if m.Type == mounts.Bind {
			if err := bindSource(*m); err != nil {
				return err
			}
			continue
		}
		if m.Type == mounts.Image {
			if err := e.findImage(ctx, m); err != nil {
				return err
			}
			continue
		}
		if m.Type != mounts.Volume {
			continue
		}
		v, err := e.volumeFor(ctx, m)
		if err != nil {
			return err
		}
		// Known before it is filled: nobody may remove it meanwhile.
		u.mu.Lock()
		u.mounts = slices.Clone(ms)
		u.mu.Unlock()
		if m.NoCopy || m.Subpath != "" || v.Options["device"] != "" {
			continue
		}
		if layers == nil {
			l, err := e.Images.Layers(ctx, img.ID)
			if err != nil {
				return err
			}
			if layers, err = union.Open(l.Dirs); err != nil {
				return err
			}
		}
		if err := e.fill(v, layers, m.Target); err != nil {
			return err
		}
	}
	u.mu.Lock()
	u.mounts = ms
	u.rec.Mounts = e.points(ms)
	u.mu.Unlock()
	return nil
}

func (e *Engine) volumeFor(ctx context.Context, m *mounts.Mount) (*volumeEntry, error) {
	v := volume.Volume{Name: m.Name, Labels: maps.Clone(m.Labels), Options: m.Driver, Anonymous: m.Anonymous}
	if err := checkVolumeOptions(m.Driver); err != nil {
		return nil, err
	}
	if v.Labels == nil {
		v.Labels = map[string]string{}
	}
	if v.Name == "" {
		v.Name, v.Anonymous = ids.New(), true
		v.Labels[labelAnonymous] = ""
		m.Name, m.Anonymous = v.Name, true
	}
	return e.makeVolume(ctx, v)
}

// fill copies the image's content into a volume that is still empty. A copy that
// fails or is cut short is taken away, so that the next use fills it, unless a
// container works in the volume: what lies there may be its own by now.
func (e *Engine) fill(v *volumeEntry, layers *union.FS, target string) error {
	v.fill.Lock()
	defer v.fill.Unlock()
	_, err := layers.CopyUp(target, v.Mountpoint)
	if err == nil {
		return nil
	}
	if !slices.ContainsFunc(e.users(v.Name), (*unit).active) {
		err = errors.Join(err, emptyFolder(v.Mountpoint))
	}
	return errs.New(errs.Unavailable, "cannot copy the image's content of %s into volume %s: %w", target, v.Name, roomless(err))
}

// points is the mounts as inspect shows them.
func (e *Engine) points(ms []mounts.Mount) []container.MountPoint {
	out := []container.MountPoint{}
	for _, m := range ms {
		p := container.MountPoint{Type: m.Type, Name: m.Name, Source: m.Source, Destination: m.Target, Mode: m.Mode, RW: !m.ReadOnly}
		switch m.Type {
		case mounts.Volume:
			p.Driver = "local"
			if p.Mode == "" {
				p.Mode = "z"
			}
			if v, err := e.volume(m.Name); err == nil {
				p.Source = v.Mountpoint
			}
		case mounts.Bind:
			p.Propagation = m.Propagation
			if p.Propagation == "" {
				p.Propagation = "rprivate"
			}
		}
		out = append(out, p)
	}
	return out
}

// anonymous are the names of the volumes that were made for the container.
func (u *unit) anonymous() (names []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, m := range u.mounts {
		if m.Type == mounts.Volume && m.Anonymous && m.Name != "" {
			names = append(names, m.Name)
		}
	}
	return names
}

// hideAnonymous takes the volumes that were made for this container, and that no
// other has, from everybody's sight: with the answer that it is gone they are gone.
func (e *Engine) hideAnonymous(u *unit) {
	for _, name := range u.anonymous() {
		v, err := e.volume(name)
		if err != nil || !v.fill.TryLock() {
			continue // gone, or another has it just now
		}
		hidden := len(e.users(name)) == 0 && e.hideVolume(v)
		v.fill.Unlock()
		if !hidden {
			continue
		}
		e.tellVolume(name, "destroy")
		u.mu.Lock()
		u.hidden = append(u.hidden, v)
		u.mu.Unlock()
	}
}

// removeAnonymous removes the volumes that were made for this container alone.
func (e *Engine) removeAnonymous(ctx context.Context, u *unit) {
	u.mu.Lock()
	hidden, rec := u.hidden, u.rec
	u.mu.Unlock()
	for _, v := range hidden {
		e.warn("removing an anonymous volume", &rec, e.dropVolume(ctx, v), "volume", v.Name)
	}
	for _, name := range u.anonymous() {
		if err := e.RemoveVolume(ctx, name, true); err != nil && !errs.Is(err, errs.Conflict) {
			e.warn("removing an anonymous volume", &rec, err, "volume", name)
		}
	}
}

// sources finds where each mount of a container comes from.
func (l *launch) sources(id string, ms []mounts.Mount) ([]mounts.Mount, error) {
	out := make([]mounts.Mount, 0, len(ms))
	for i, m := range ms {
		switch m.Type {
		case mounts.Image:
			m.Source = l.e.paths(id).imageDir(i)
			if m.Subpath != "" {
				part, err := subpath(m.Source, m.Subpath, "image")
				if err != nil {
					return nil, err
				}
				l.parts = append(l.parts, part)
				m.Source = fmt.Sprintf("/proc/self/fd/%d", part.Fd())
			}
		case mounts.Volume:
			dir, part, err := l.e.volumeDir(m)
			if err != nil {
				return nil, err
			}
			if part != nil {
				l.parts = append(l.parts, part)
			}
			m.Source = dir
		case mounts.Bind:
			if err := bindSource(m); err != nil {
				return nil, err
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// bindSource checks that a bind's source is there, or makes it as -v does.
func bindSource(m mounts.Mount) error {
	_, err := os.Stat(m.Source)
	if errors.Is(err, os.ErrNotExist) && m.MakeSource {
		err = os.MkdirAll(m.Source, 0o755)
	}
	if errors.Is(err, os.ErrNotExist) {
		return errs.New(errs.Invalid, "invalid mount config for type \"bind\": bind source path does not exist: %s", m.Source)
	}
	if err != nil {
		return errs.New(errs.Invalid, "cannot use %s as a mount: %w", m.Source, err)
	}
	return nil
}

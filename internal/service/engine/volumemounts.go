package engine

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mount"
	"github.com/moby/sys/mountinfo"

	"lus/internal/base/errs"
	"lus/internal/service/engine/internal/mounts"
)

// A volume of the local driver with the options type, device and o is a file
// system of its own: it is mounted when the first run needs it, and unmounted
// when the last has ended. A bind (o=bind) only stands for a folder of the host.

// checkVolumeOptions says what is wrong with options of the local driver.
func checkVolumeOptions(o map[string]string) error {
	for k := range o {
		if k != "type" && k != "o" && k != "device" {
			return errs.New(errs.Invalid, "create volume: invalid option: %q", k)
		}
	}
	switch kind, device := o["type"], o["device"]; {
	case len(o) == 0:
	case device == "":
		return errs.New(errs.Invalid, "create volume: missing required option: \"device\"")
	case isBind(o):
		if kind != "" && kind != "none" || !filepath.IsAbs(device) {
			return errs.New(errs.Invalid, "create volume: a bind has type=none and the absolute path of a folder as device, not type=%s and device=%s", kind, device)
		}
	case kind == "" || kind == "none":
		return errs.New(errs.Invalid, "create volume: missing required option: \"type\": name a file system, as tmpfs, or o=bind")
	case slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3"}, kind):
		return errs.New(errs.Unsupported, "create volume: type=%s is not supported: mount it on the host and use type=none, o=bind and device=/the/folder", kind)
	case strings.ContainsAny(kind, ",\x00") || strings.ContainsRune(device+o["o"], 0):
		return errs.New(errs.Invalid, "create volume: invalid type %q or device %q", kind, device)
	}
	for _, word := range strings.Split(o["o"], ",") {
		if slices.Contains([]string{"remount", "shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable"}, word) {
			return errs.New(errs.Invalid, "create volume: invalid mount option %q", word)
		}
	}
	return nil
}

func isBind(o map[string]string) bool {
	words := strings.Split(o["o"], ",")
	return slices.Contains(words, "bind") || slices.Contains(words, "rbind")
}

// ownFiles reports whether the volume is a file system of its own.
func (v *volumeEntry) ownFiles() bool { return v.Options["device"] != "" && !isBind(v.Options) }

// source is the folder on the host that the volume's files are in, mounted or not.
func (v *volumeEntry) source() string {
	if device := v.Options["device"]; device != "" && isBind(v.Options) {
		return device
	}
	return v.Mountpoint
}

// hold mounts the volume unless another run has it already. What is returned
// gives it back, and unmounts it with the last.
func (v *volumeEntry) hold() (release func(context.Context) error, err error) {
	v.mounting.Lock()
	defer v.mounting.Unlock()
	if v.holders == 0 {
		mounted, err := mountinfo.Mounted(v.Mountpoint)
		if err == nil && !mounted {
			err = mount.Mount(v.Options["device"], v.Mountpoint, v.Options["type"], v.Options["o"])
		}
		if err != nil {
			return nil, errs.New(errs.Invalid, "failed to mount local volume %s: %w", v.Name, err)
		}
	}
	v.holders++
	return func(context.Context) error { return v.release() }, nil
}

func (v *volumeEntry) release() error {
	v.mounting.Lock()
	defer v.mounting.Unlock()
	if v.holders--; v.holders > 0 {
		return nil
	}
	return mount.Unmount(v.Mountpoint)
}

// holdVolumes mounts what the mounts need; steps to give it back are added to u.
func (e *Engine) holdVolumes(ms []mounts.Mount, u *undo) error {
	for _, m := range ms {
		if m.Type != mounts.Volume {
			continue
		}
		v, err := e.volume(m.Name)
		if err != nil {
			return err
		}
		if !v.ownFiles() {
			continue
		}
		release, err := v.hold()
		if err != nil {
			return err
		}
		u.add(release)
	}
	return nil
}

// reconcileVolumes counts the volumes that those who run have mounted, and
// unmounts what a crash left.
func (e *Engine) reconcileVolumes() error {
	var failed []error
	for _, u := range e.units {
		if u.rec.State.Running() {
			failed = append(failed, e.holdVolumes(u.mounts, &u.held))
		}
	}
	for _, v := range e.volumes {
		if v.ownFiles() && v.holders == 0 {
			failed = append(failed, mount.Unmount(v.Mountpoint))
		}
	}
	return errors.Join(failed...)
}

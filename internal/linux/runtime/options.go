package runtime

import (
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	initproc "lus/internal/linux/init"
	"lus/internal/linux/mount"
)

// options are a mount's options, sorted by who is to carry them out.
type options struct {
	bind        bool
	recursive   bool
	attributes  int // MOUNT_ATTR_* to set
	clear       int // and to clear
	propagation uint64
	data        []mount.Option // for the file system itself
}

var attributes = map[string]struct{ set, clear int }{
	"ro":            {set: unix.MOUNT_ATTR_RDONLY},
	"rro":           {set: unix.MOUNT_ATTR_RDONLY},
	"rw":            {}, // a part that is read-only on the host stays so
	"nosuid":        {set: unix.MOUNT_ATTR_NOSUID},
	"suid":          {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev":         {set: unix.MOUNT_ATTR_NODEV},
	"dev":           {clear: unix.MOUNT_ATTR_NODEV},
	"noexec":        {set: unix.MOUNT_ATTR_NOEXEC},
	"exec":          {clear: unix.MOUNT_ATTR_NOEXEC},
	"noatime":       {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	"relatime":      {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	"strictatime":   {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	"nodiratime":    {set: unix.MOUNT_ATTR_NODIRATIME},
	"diratime":      {clear: unix.MOUNT_ATTR_NODIRATIME},
	"nosymfollow":   {set: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"defaults":      {},
	"async":         {},
	"norelatime":    {},
	"nostrictatime": {},
	"atime":         {},
}

var propagations = map[string]uint64{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE,
	"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED,
	"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE,
}

func parseOptions(list []string) (options, error) {
	var o options
	for _, s := range list {
		if strings.IndexByte(s, 0) >= 0 {
			return o, errs.New(errs.Invalid, "mount option %q contains a zero byte", s)
		}
		if a, ok := attributes[s]; ok {
			o.attributes = o.attributes&^a.clear | a.set
			o.clear = o.clear&^a.set | a.clear
			continue
		}
		if p, ok := propagations[s]; ok {
			o.propagation = p
			continue
		}
		switch s {
		case "bind":
			o.bind = true
		case "rbind":
			o.bind, o.recursive = true, true
		case "tmpcopyup":
			return o, errs.New(errs.Unsupported, "mount option tmpcopyup is not supported: a tmpfs starts empty")
		default:
			key, value, _ := strings.Cut(s, "=")
			o.data = append(o.data, mount.Option{Key: key, Value: value})
		}
	}
	if o.bind && len(o.data) > 0 {
		return o, errs.New(errs.Invalid, "a bind mount has no option %q", o.data[0])
	}
	return o, nil
}

func programOptions(data []mount.Option) []initproc.Option {
	out := make([]initproc.Option, len(data))
	for i, d := range data {
		out[i] = initproc.Option(d)
	}
	return out
}

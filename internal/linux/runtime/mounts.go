package runtime

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/cgroup"
	initproc "lus/internal/linux/init"
	"lus/internal/linux/mount"
)

// builder makes a container's mounts outside and writes the operations that
// move them in.
type builder struct {
	program *initproc.Program
	spec    *specs.Spec
	group   *cgroup.Group
	open    []*os.File // to be closed once the keeper has them
	pts     *os.File   // the container's devpts, where it has one
	master  *os.File   // its terminal there, where it has one
}

func (b *builder) close() {
	for _, f := range b.open {
		_ = f.Close()
	}
}

func (b *builder) keep(f *os.File, err error) (*os.File, error) {
	if f != nil {
		b.open = append(b.open, f)
	}
	return f, err
}

// Mount makes the root, detached. The caller closes it.
func (r Rootfs) Mount() (*os.File, error) {
	if r.Path != "" {
		return mount.Bind{Source: r.Path, Recursive: true}.Mount()
	}
	return mount.Overlay{Lower: r.Lower, Upper: r.Upper, Work: r.Work, Volatile: r.Volatile}.Mount()
}

func (b *builder) mounts() error {
	for _, m := range b.spec.Mounts {
		if err := b.mount(m); err != nil {
			return fmt.Errorf("mount %s: %w", m.Destination, err)
		}
	}
	return nil
}

func (b *builder) mount(m specs.Mount) error {
	if len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0 {
		return errs.New(errs.Unsupported, "id-mapped mounts are not supported yet")
	}
	o, err := parseOptions(m.Options)
	if err != nil {
		return err
	}
	target := path.Clean("/" + m.Destination)
	if target == "/" {
		return errs.New(errs.Invalid, "the destination can't be '/'")
	}
	if strings.IndexByte(target, 0) >= 0 {
		return errs.New(errs.Invalid, "the destination %q contains a zero byte", target)
	}
	isBind := m.Type == "bind" || o.bind
	if err := checkProc(target, m.Type, isBind); err != nil {
		return err
	}
	switch {
	case isBind:
		return b.bind(m.Source, target, o)
	case m.Type == "proc" || m.Type == "sysfs" || m.Type == "mqueue":
		t := initproc.MakeDir
		if m.Type != "mqueue" {
			// Through a link it would land where a volume, and with it another
			// container, can move it out of reach of what is hidden later.
			t |= initproc.PlainDir
		}
		b.program.Mount(m.Type, target, t, uint32(o.attributes), programOptions(withSource(m, o.data)))
		return nil
	case m.Type == "cgroup" || m.Type == "cgroup2":
		return b.cgroup(target, o)
	case m.Type == "overlay":
		return b.overlay(target, o)
	}
	return b.filesystem(m, target, o)
}

// inProc are the files of /proc that lxcfs and its like cover; anything else
// below /proc could deceive whoever trusts it.
var inProc = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps",
	"/proc/uptime", "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid",
}

func checkProc(target, fstype string, bind bool) error {
	switch {
	case target == "/proc" && (fstype == "proc" || bind):
		return nil // what a bind shows is looked at when it is opened
	case target == "/proc" || strings.HasPrefix(target, "/proc/") && !slices.Contains(inProc, target):
		return errs.New(errs.Invalid, "nothing can be mounted inside /proc")
	}
	return nil
}

func (b *builder) bind(source, target string, o options) error {
	if !path.IsAbs(source) {
		return errs.New(errs.Invalid, "bind source path must be absolute: %q", source)
	}
	f, err := b.keep(mount.Bind{
		Source: source, Recursive: o.recursive,
		Attributes: uint64(o.attributes), Clear: uint64(o.clear), Propagation: o.propagation,
	}.Mount())
	if err != nil {
		return err
	}
	if target == "/proc" {
		// Anything else there could lie about the processes to whoever asks.
		var fs unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
			return errs.New(errs.Invalid, "only a proc file system can be mounted on /proc, which %s is not", source)
		}
	}
	return b.move(f, target)
}

// move writes the operation for one mount; its target is made to fit.
func (b *builder) move(f *os.File, target string) error {
	dir, err := mount.IsDir(f)
	if err != nil {
		return err
	}
	t := initproc.MakeFile
	if dir {
		t = initproc.MakeDir
	}
	if slices.Contains(inProc, target) {
		t = initproc.InProc
	}
	b.program.Move(f, target, t)
	return nil
}

func (b *builder) overlay(target string, o options) error {
	var ov mount.Overlay
	for _, d := range o.data {
		switch d.Key {
		case "lowerdir":
			ov.Lower = strings.Split(d.Value, ":")
		case "upperdir":
			ov.Upper = d.Value
		case "workdir":
			ov.Work = d.Value
		case "volatile":
			ov.Volatile = true
		case "index", "redirect_dir", "metacopy", "userxattr":
		default:
			return errs.New(errs.Invalid, "unknown overlay option %q", d.String())
		}
	}
	f, err := b.keep(ov.Mount())
	if err != nil {
		return err
	}
	if o.attributes != 0 {
		attr := unix.MountAttr{Attr_set: uint64(o.attributes)}
		if err := unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return err
		}
	}
	return b.move(f, target)
}

// withSource adds what is mounted to a file system's options; where nothing
// is, it is the name that shows in the list of mounts.
func withSource(m specs.Mount, data []mount.Option) []mount.Option {
	if m.Source == "" {
		return data
	}
	return append([]mount.Option{{Key: "source", Value: m.Source}}, data...)
}

func (b *builder) filesystem(m specs.Mount, target string, o options) error {
	data := withSource(m, o.data)
	if m.Type == "devpts" {
		data = slices.DeleteFunc(data, func(d mount.Option) bool { return d.Key == "newinstance" }) // all are
	}
	if m.Type == "tmpfs" && target == "/dev" {
		// A /dev that is to be read-only is made so once it is filled.
		readonly := o.attributes & unix.MOUNT_ATTR_RDONLY
		f, err := b.keep(mount.New(m.Type, o.attributes&^unix.MOUNT_ATTR_RDONLY, data...))
		if err != nil {
			return err
		}
		if readonly != 0 {
			return errs.New(errs.Unsupported, "/dev cannot be read-only")
		}
		if err := mount.Populate(f, []string{"pts", "shm", "mqueue"}, nodes(b.spec.Linux.Devices)); err != nil {
			return err
		}
		return b.move(f, target)
	}
	f, err := b.keep(mount.New(m.Type, o.attributes, data...))
	if err != nil {
		return err
	}
	if m.Type == "devpts" && target == "/dev/pts" {
		b.pts = f
	}
	return b.move(f, target)
}

func nodes(devices []specs.LinuxDevice) []mount.Node {
	out := make([]mount.Node, len(devices))
	for i, d := range devices {
		n := mount.Node{Path: d.Path, Type: d.Type, Major: uint32(d.Major), Minor: uint32(d.Minor), Mode: 0o666}
		if d.FileMode != nil {
			n.Mode = uint32(d.FileMode.Perm())
		}
		if d.UID != nil {
			n.UID = *d.UID
		}
		if d.GID != nil {
			n.GID = *d.GID
		}
		out[i] = n
	}
	return out
}

// cgroup shows the container its own cgroup: in version 2 one folder, in
// version 1 one for each hierarchy on a tmpfs.
func (b *builder) cgroup(target string, o options) error {
	folders := b.group.Folders()
	if len(folders) == 1 && folders[0].Name == "" {
		return b.bind(folders[0].Path, target, options{attributes: o.attributes})
	}
	top, err := b.keep(mount.New("tmpfs", o.attributes&^unix.MOUNT_ATTR_RDONLY, mount.Option{Key: "mode", Value: "755"}, mount.Option{Key: "size", Value: "64k"}))
	if err != nil {
		return err
	}
	fd := int(top.Fd())
	for _, f := range folders {
		if err := unix.Mkdirat(fd, f.Name, 0o755); err != nil {
			return err
		}
		for _, alias := range f.Aliases {
			if err := unix.Symlinkat(f.Name, fd, alias); err != nil {
				return err
			}
		}
	}
	if o.attributes&unix.MOUNT_ATTR_RDONLY != 0 {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return err
		}
	}
	if err := b.move(top, target); err != nil {
		return err
	}
	for _, f := range folders {
		if err := b.bind(f.Path, path.Join(target, f.Name), options{attributes: o.attributes}); err != nil {
			return err
		}
	}
	return nil
}

// protect masks paths and makes others read-only, once all is mounted.
func (b *builder) protect() error {
	if paths := b.spec.Linux.ReadonlyPaths; len(paths) > 0 {
		b.program.Readonly(paths)
	}
	if paths := b.spec.Linux.MaskedPaths; len(paths) > 0 {
		empty, err := b.keep(mount.New("tmpfs", unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC,
			mount.Option{Key: "mode", Value: "755"}, mount.Option{Key: "size", Value: "4k"}))
		if err != nil {
			return err
		}
		b.program.Mask(empty, paths)
	}
	return nil
}

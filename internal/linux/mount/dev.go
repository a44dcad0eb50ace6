package mount

import (
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// Node is a device node to be made in a container's /dev.
type Node struct {
	Path         string // "/dev/fuse"
	Type         string // "c", "b", "u" or "p", as in the OCI spec
	Major, Minor uint32
	Mode         uint32
	UID, GID     uint32
}

// links are the symbolic links of every /dev.
var links = [][2]string{
	{"/proc/self/fd", "fd"},
	{"/proc/self/fd/0", "stdin"},
	{"/proc/self/fd/1", "stdout"},
	{"/proc/self/fd/2", "stderr"},
	{"/proc/kcore", "core"},
	{"pts/ptmx", "ptmx"},
}

// Populate fills a /dev, a detached tmpfs, with the usual links, the folders
// that others are mounted on, and nodes.
func Populate(dev *os.File, folders []string, nodes []Node) error {
	fd := int(dev.Fd())
	for _, l := range links {
		if err := unix.Symlinkat(l[0], fd, l[1]); err != nil {
			return fmt.Errorf("link /dev/%s: %w", l[1], err)
		}
	}
	for _, name := range folders {
		if err := unix.Mkdirat(fd, name, 0o755); err != nil && err != unix.EEXIST {
			return fmt.Errorf("mkdir /dev/%s: %w", name, err)
		}
	}
	for _, n := range nodes {
		if err := makeNode(dev, n); err != nil {
			return err
		}
	}
	return nil
}

func makeNode(dev *os.File, n Node) error {
	name, ok := strings.CutPrefix(path.Clean(n.Path), "/dev/")
	if !ok || name == "" {
		return errs.New(errs.Unsupported, "device %s: only devices below /dev can be made", n.Path)
	}
	var kind uint32
	switch n.Type {
	case "c", "u":
		kind = unix.S_IFCHR
	case "b":
		kind = unix.S_IFBLK
	case "p":
		kind = unix.S_IFIFO
	default:
		return errs.New(errs.Invalid, "device %s: unknown type %q", n.Path, n.Type)
	}
	parent, base := dev, name
	if dir := path.Dir(name); dir != "." {
		d, err := MkdirAll(dev, dir, 0o755)
		if err != nil {
			return fmt.Errorf("device %s: %w", n.Path, err)
		}
		defer d.Close()
		parent, base = d, path.Base(name)
	}
	fd := int(parent.Fd())
	err := unix.Mknodat(fd, base, kind|n.Mode&0o7777, int(unix.Mkdev(n.Major, n.Minor)))
	if err == unix.EEXIST {
		return nil // named twice, or one of the links: the host's /dev has them too
	}
	if err != nil {
		return fmt.Errorf("make device %s: %w", n.Path, err)
	}
	// The umask had its say above.
	if err := unix.Fchmodat(fd, base, n.Mode&0o7777, 0); err != nil {
		return fmt.Errorf("make device %s: %w", n.Path, err)
	}
	if n.UID != 0 || n.GID != 0 {
		if err := unix.Fchownat(fd, base, int(n.UID), int(n.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("make device %s: %w", n.Path, err)
		}
	}
	return nil
}

package union

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// CopyUp fills the empty folder dst with what the merged view shows in name,
// ownership, times, extended attributes and hard links included, and gives dst
// the mode and owner of name. It reports whether there was a folder to copy;
// a dst that holds something already is left as it is.
func (f *FS) CopyUp(name, dst string) (bool, error) {
	n, err := f.lookup(name)
	if err != nil || n == nil || n.kind() != unix.S_IFDIR {
		return false, err
	}
	to, err := unix.Open(dst, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: dst, Err: err}
	}
	defer unix.Close(to)
	empty, err := isEmpty(to)
	if err != nil || !empty {
		return false, err
	}
	c := &copier{fs: f, links: map[inode]string{}, base: to}
	return true, c.dir(n, to, "")
}

type inode struct {
	layer int
	dev   uint64
	ino   uint64
}

// copier copies one tree. base is its destination; paths in links are below it.
type copier struct {
	fs    *FS
	base  int
	links map[inode]string
}

// dir copies the content of n into the open folder to, and then n's own
// attributes, last because filling changes them.
func (c *copier) dir(n *node, to int, rel string) error {
	names, err := c.fs.list(n)
	if err != nil {
		return err
	}
	for _, name := range names {
		kid, err := c.fs.child(n, name)
		if err != nil {
			return err
		}
		if kid == nil {
			continue
		}
		if err := c.entry(kid, to, name, path.Join(rel, name)); err != nil {
			return &os.PathError{Op: "copy", Path: "/" + kid.path, Err: err}
		}
	}
	return c.attributes(n, to)
}

func (c *copier) entry(n *node, to int, name, rel string) error {
	mode := n.stat.Mode & 0o7777
	switch n.kind() {
	case unix.S_IFDIR:
		if err := unix.Mkdirat(to, name, 0o700); err != nil {
			return err
		}
		fd, err := unix.Openat(to, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return c.dir(n, fd, rel)
	case unix.S_IFREG:
		return c.file(n, to, name, rel)
	case unix.S_IFLNK:
		target, err := c.fs.readlink(n)
		if err != nil {
			return err
		}
		if err := unix.Symlinkat(target, to, name); err != nil {
			return err
		}
		if err := unix.Fchownat(to, name, int(n.stat.Uid), int(n.stat.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		return unix.UtimesNanoAt(to, name, times(n), unix.AT_SYMLINK_NOFOLLOW)
	case unix.S_IFSOCK:
		return nil // nobody listens on a socket of an image
	}
	if err := unix.Mknodat(to, name, n.kind()|mode, int(n.stat.Rdev)); err != nil {
		return err
	}
	if err := unix.Fchownat(to, name, int(n.stat.Uid), int(n.stat.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if err := chmod(to, name, mode); err != nil {
		return err
	}
	return unix.UtimesNanoAt(to, name, times(n), unix.AT_SYMLINK_NOFOLLOW)
}

// chmod changes the mode of what is there by that name, and of nothing that a
// link leads to: another container may have the volume, and put one there.
func chmod(dir int, name string, mode uint32) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return errChanged
	}
	return unix.Fchmodat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), mode, 0)
}

// errChanged says that somebody else works in the folder that is being filled.
var errChanged = errors.New("it was replaced while it was being copied: the volume is in use")

// link makes a hard link to what was copied before. The way to it is walked
// inside the volume and along no link, whoever has changed it meanwhile.
func (c *copier) link(first string, to int, name string) error {
	fd, err := unix.Openat2(c.base, first, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOENT) {
		return errChanged
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Linkat(fd, "", to, name, unix.AT_EMPTY_PATH)
}

func (c *copier) file(n *node, to int, name, rel string) error {
	id := inode{n.layers[0], n.stat.Dev, n.stat.Ino}
	if n.stat.Nlink > 1 {
		if first, ok := c.links[id]; ok {
			return c.link(first, to, name)
		}
		c.links[id] = rel
	}
	src, err := c.fs.openAt(n.layers[0], n.path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	in := os.NewFile(uintptr(src), n.path)
	defer in.Close()
	dst, err := unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(dst), name)
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil { // copy_file_range where the kernel can
		return err
	}
	return c.attributes(n, dst)
}

// attributes gives an open file or folder the owner, mode, extended attributes
// and times of n. The owner first: changing it clears setuid bits and capabilities.
func (c *copier) attributes(n *node, fd int) error {
	if err := unix.Fchown(fd, int(n.stat.Uid), int(n.stat.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, n.stat.Mode&0o7777); err != nil {
		return err
	}
	if err := c.xattrs(n, fd); err != nil {
		return err
	}
	ts := times(n)
	return unix.UtimesNanoAt(fd, "", ts, unix.AT_EMPTY_PATH)
}

func (c *copier) xattrs(n *node, to int) error {
	flags := unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	src, err := c.fs.openAt(n.layers[0], n.path, flags)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	buf := make([]byte, 64<<10) // the kernel's own limit of a list
	k, err := unix.Flistxattr(src, buf)
	if errors.Is(err, unix.ENOTSUP) || k == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(buf[:k]), "\x00"), "\x00") {
		if strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			continue // the layer's own book-keeping
		}
		v, err := xattr(src, name)
		if err != nil {
			return err
		}
		if err := unix.Fsetxattr(to, name, v, 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
	}
	return nil
}

func xattr(fd int, name string) ([]byte, error) {
	buf := make([]byte, 64<<10) // the kernel's own limit of a value
	k, err := unix.Fgetxattr(fd, name, buf)
	if err != nil {
		return nil, err
	}
	return buf[:k], nil
}

func times(n *node) []unix.Timespec { return []unix.Timespec{n.stat.Atim, n.stat.Mtim} }

// list gives the names in a folder of the merged view, whiteouts included.
func (f *FS) list(n *node) ([]string, error) {
	seen := map[string]bool{}
	for _, layer := range n.layers {
		fd, err := f.openAt(layer, n.path, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return nil, err
		}
		d := os.NewFile(uintptr(fd), n.path)
		names, err := d.Readdirnames(-1)
		d.Close()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			seen[name] = true
		}
	}
	out := make([]string, 0, len(seen))
	for name := range seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}

func isEmpty(fd int) (bool, error) {
	dup, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	d := os.NewFile(uintptr(dup), "volume")
	defer d.Close()
	_, err = d.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

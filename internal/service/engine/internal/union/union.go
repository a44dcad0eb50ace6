// Package union reads the merged view of an image's layers without mounting
// it: who a user is, what a volume is first filled with. Layers are made by
// strangers, so every path is opened beneath its layer and no symbolic link is
// left to the kernel to follow.
package union

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// FS is a stack of layers, topmost first.
type FS struct {
	roots []*os.File
}

// Open opens the layers' folders. A missing one among them is an error.
func Open(dirs []string) (*FS, error) {
	f := &FS{}
	for _, d := range dirs {
		fd, err := unix.Open(d, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			f.Close()
			return nil, &os.PathError{Op: "open", Path: d, Err: err}
		}
		f.roots = append(f.roots, os.NewFile(uintptr(fd), d))
	}
	return f, nil
}

// Close closes the layers.
func (f *FS) Close() {
	for _, r := range f.roots {
		r.Close()
	}
}

// node is one path in the merged view: the layers that hold it, topmost first.
// For anything but a folder there is one.
type node struct {
	path   string // relative, without symbolic links
	stat   unix.Stat_t
	layers []int
}

func (n *node) kind() uint32 { return n.stat.Mode & unix.S_IFMT }

// openAt opens rel in one layer, following nothing and staying beneath it.
func (f *FS) openAt(layer int, rel string, flags int) (int, error) {
	if rel == "" {
		rel = "."
	}
	for {
		fd, err := unix.Openat2(int(f.roots[layer].Fd()), rel, &unix.OpenHow{
			Flags:   uint64(flags | unix.O_CLOEXEC),
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
		})
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		return fd, err
	}
}

// stat looks at rel in one layer. It reports a whiteout as itself.
func (f *FS) stat(layer int, rel string) (st unix.Stat_t, ok bool, err error) {
	fd, err := f.openAt(layer, rel, unix.O_PATH|unix.O_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return st, false, nil
	case err != nil:
		return st, false, &os.PathError{Op: "open", Path: rel, Err: err}
	}
	defer unix.Close(fd)
	err = unix.Fstat(fd, &st)
	return st, err == nil, err
}

func whiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// opaque reports whether a folder of a layer hides what lies below it.
func (f *FS) opaque(layer int, rel string) bool {
	fd, err := f.openAt(layer, rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var v [8]byte
	for _, name := range []string{"trusted.overlay.opaque", "user.overlay.opaque"} {
		if n, err := unix.Fgetxattr(fd, name, v[:]); err == nil && n == 1 && v[0] == 'y' {
			return true
		}
	}
	return false
}

// child finds name in a folder of the merged view; nil where there is none.
func (f *FS) child(parent *node, name string) (*node, error) {
	n := &node{path: path.Join(parent.path, name)}
	for _, layer := range parent.layers {
		st, ok, err := f.stat(layer, n.path)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if whiteout(&st) {
			break
		}
		isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
		if len(n.layers) == 0 {
			n.stat = st
			n.layers = []int{layer}
			if !isDir {
				return n, nil
			}
		} else if isDir {
			n.layers = append(n.layers, layer)
		} else {
			break // a file below a folder is hidden
		}
		if f.opaque(layer, n.path) {
			break
		}
	}
	if len(n.layers) == 0 {
		return nil, nil
	}
	return n, nil
}

func (f *FS) root() (*node, error) {
	n := &node{}
	for i := range f.roots {
		n.layers = append(n.layers, i)
	}
	st, ok, err := f.stat(0, "")
	if err == nil && !ok {
		err = os.ErrNotExist
	}
	n.stat = st
	return n, err
}

const maxLinks = 40

// lookup resolves name as a process with this root would; nil where nothing is.
func (f *FS) lookup(name string) (*node, error) {
	root, err := f.root()
	if err != nil {
		return nil, err
	}
	at := []*node{root}
	todo := split(name)
	links := 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		if part == ".." {
			if len(at) > 1 {
				at = at[:len(at)-1]
			}
			continue
		}
		here := at[len(at)-1]
		if here.kind() != unix.S_IFDIR {
			return nil, nil
		}
		n, err := f.child(here, part)
		if n == nil || err != nil {
			return nil, err
		}
		if n.kind() != unix.S_IFLNK {
			at = append(at, n)
			continue
		}
		if links++; links > maxLinks {
			return nil, errs.New(errs.Invalid, "too many levels of symbolic links in %s", name)
		}
		target, err := f.readlink(n)
		if err != nil {
			return nil, err
		}
		if path.IsAbs(target) {
			at = at[:1]
		}
		todo = append(split(target), todo...)
	}
	return at[len(at)-1], nil
}

func split(name string) []string {
	var out []string
	for _, p := range strings.Split(name, "/") {
		if p != "" && p != "." {
			out = append(out, p)
		}
	}
	return out
}

func (f *FS) readlink(n *node) (string, error) {
	fd, err := f.openAt(n.layers[0], n.path, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	k, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: n.path, Err: err}
	}
	return string(buf[:k]), nil
}

// openFile opens a file once it is known to be one. The topmost layer may be
// that of a running container, which can put a pipe in its place, that nobody
// ever writes to, or one of the host's devices.
func (f *FS) openFile(n *node) (*os.File, error) {
	fd, err := f.openAt(n.layers[0], n.path, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errs.New(errs.Invalid, "/%s in the image is not a file", n.path)
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// ReadFile reads a regular file of at most limit bytes. os.ErrNotExist where
// there is none.
func (f *FS) ReadFile(name string, limit int64) ([]byte, error) {
	n, err := f.lookup(name)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, os.ErrNotExist
	}
	if n.kind() != unix.S_IFREG {
		return nil, errs.New(errs.Invalid, "%s in the image is not a file", name)
	}
	file, err := f.openFile(n)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, errs.New(errs.Invalid, "%s in the image is larger than %d bytes", name, limit)
	}
	return data, err
}

// IsDir reports whether name is a folder.
func (f *FS) IsDir(name string) (bool, error) {
	n, err := f.lookup(name)
	return n != nil && n.kind() == unix.S_IFDIR, err
}

// Package tree writes folders as tars and tars as folders, through descriptors
// alone: each name is resolved by the kernel inside a root and cannot lead out
// of it, whatever somebody else renames or links there meanwhile.
package tree

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is a folder that names are resolved in.
type Root struct {
	dir     *os.File
	resolve uint64
}

// Chroot resolves as a process would whose root dir is: absolute links begin
// there. Magic links, those of /proc, are refused.
func Chroot(dir *os.File) Root {
	return Root{dir, unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
}

// Beneath refuses links that lead out of dir.
func Beneath(dir *os.File) Root {
	return Root{dir, unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
}

// Open opens name; flags and mode are those of open(2).
func (r Root) Open(name string, flags int, mode os.FileMode) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: r.resolve}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode.Perm())
	}
	at := name
	if r.resolve&unix.RESOLVE_BENEATH != 0 {
		at = strings.TrimLeft(at, "/")
	}
	if at == "" {
		at = "."
	}
	for {
		fd, err := unix.Openat2(int(r.dir.Fd()), at, &how)
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		// EAGAIN: something was renamed meanwhile and the kernel could not be sure.
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// Folder opens a folder to work in.
func (r Root) Folder(name string) (*os.File, error) {
	return r.Open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// Lstat looks at name itself, and follows it only where it ends in a slash.
func (r Root) Lstat(name string) (st unix.Stat_t, err error) {
	f, err := r.Open(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return st, err
	}
	defer f.Close()
	return st, unix.Fstat(int(f.Fd()), &st)
}

// Split cuts a path in its folder and its last name, which is "." where the
// path asks for the content of a folder.
func Split(name string) (dir, base string) {
	clean := path.Clean("/" + name)
	if clean == "/" || strings.HasSuffix(name, "/") || strings.HasSuffix(name, "/.") || name == "." {
		return clean, "."
	}
	return path.Dir(clean), path.Base(clean)
}

// MkdirAll makes the folder name with its parents and returns it, opened.
func (r Root) MkdirAll(name string, mode os.FileMode) (*os.File, error) {
	at := "/"
	for _, part := range strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/") {
		if part == "" {
			break
		}
		parent, err := r.Folder(at)
		if err != nil {
			return nil, err
		}
		at = path.Join(at, part)
		err = unix.Mkdirat(int(parent.Fd()), part, uint32(mode.Perm()))
		if err == nil {
			err = chmodNew(parent, part, mode)
		}
		parent.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, &os.PathError{Op: "mkdir", Path: at, Err: err}
		}
	}
	return r.Folder(name)
}

// chmodNew gives a folder that was just made its mode, in which the umask had
// its say. A link that took its place is not followed.
func chmodNew(parent *os.File, name string, mode os.FileMode) error {
	f, err := openNew(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Fchmod(int(f.Fd()), uint32(mode.Perm()))
}

// Target is where a link at name leads in the end, or as far as what is there
// goes: a path in the root.
func (r Root) Target(name string) string {
	at, todo := "/", parts(name)
	for links := 0; len(todo) > 0; {
		next := todo[0]
		todo = todo[1:]
		if next == ".." {
			at = path.Dir(at)
			continue
		}
		here := path.Join(at, next)
		to, ok := r.readlink(here)
		if !ok {
			at = here
			continue
		}
		if links++; links > maxLinks {
			return here
		}
		if path.IsAbs(to) {
			at = "/"
		}
		todo = append(parts(to), todo...)
	}
	return at
}

const maxLinks = 40

func parts(name string) []string {
	var out []string
	for _, p := range strings.Split(name, "/") {
		if p != "" && p != "." {
			out = append(out, p)
		}
	}
	return out
}

func (r Root) readlink(name string) (string, bool) {
	f, err := r.Open(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", false
	}
	defer f.Close()
	to, err := readlinkat(int(f.Fd()), "")
	return to, err == nil
}

func readlinkat(fd int, name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Readlinkat(fd, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

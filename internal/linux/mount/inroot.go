package mount

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Open opens name inside root, as a process whose root it is would find it,
// except that magic links (those of /proc) are refused: no link leads out.
// flags and mode are those of open(2). The caller closes the file.
func Open(root *os.File, name string, flags int, mode os.FileMode) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	if flags&(unix.O_CREAT|unix.O_TMPFILE) != 0 {
		how.Mode = uint64(mode.Perm())
	}
	at := name
	if at == "" {
		at = "."
	}
	for {
		fd, err := unix.Openat2(int(root.Fd()), at, &how)
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		// EAGAIN: something was renamed meanwhile and the kernel could not be sure.
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// MkdirAll creates the folder name inside root, with its parents, and returns
// it opened (O_PATH). Links along the way are followed inside root only.
func MkdirAll(root *os.File, name string, mode os.FileMode) (*os.File, error) {
	f, _, err := create(root, name, false, mode)
	return f, err
}

// Stub creates what a mount at name needs to be mounted on, where it is
// missing: a folder, or an empty file where dir is false. It returns what it
// created, topmost first, so that it can be taken away again.
func Stub(root *os.File, name string, dir bool) (created []string, err error) {
	f, created, err := create(root, name, !dir, 0o755)
	if err != nil {
		return created, err
	}
	return created, f.Close()
}

func create(root *os.File, name string, file bool, mode os.FileMode) (*os.File, []string, error) {
	var created []string
	parts := split(name)
	for i := range parts {
		at := "/" + path.Join(parts[:i+1]...)
		f, err := Open(root, at, unix.O_PATH, 0)
		if err == nil {
			if i == len(parts)-1 {
				return f, created, nil
			}
			_ = f.Close()
			continue
		}
		if !errors.Is(err, unix.ENOENT) {
			return nil, created, err
		}
		last := i == len(parts)-1
		made, err := createOne(root, parts[:i], parts[i], file && last, mode)
		if err != nil {
			return nil, created, &os.PathError{Op: "create", Path: at, Err: err}
		}
		if made {
			created = append(created, at)
		}
	}
	f, err := Open(root, name, unix.O_PATH, 0)
	return f, created, err
}

func createOne(root *os.File, parents []string, base string, file bool, mode os.FileMode) (bool, error) {
	parent, err := Open(root, "/"+path.Join(parents...), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return false, err
	}
	defer parent.Close()
	fd := int(parent.Fd())
	if file {
		err = unix.Mknodat(fd, base, unix.S_IFREG|0o644, 0)
	} else if err = unix.Mkdirat(fd, base, uint32(mode.Perm())); err == nil {
		err = unix.Fchmodat(fd, base, uint32(mode.Perm()), 0)
	}
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	return err == nil, err
}

// split cuts a path into its names. ".." is resolved as text, as mount targets
// are; it cannot climb above the root.
func split(name string) []string {
	clean := path.Clean("/" + name)
	if clean == "/" {
		return nil
	}
	return strings.Split(clean[1:], "/")
}

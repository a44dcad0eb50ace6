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
	parts := split(name)
	for i := range parts {
		at := "/" + path.Join(parts[:i+1]...)
		f, err := Open(root, at, unix.O_PATH, 0)
		if err == nil {
			f.Close()
			continue
		}
		if !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
		if err := mkdir(root, parts[:i], parts[i], mode); err != nil {
			return nil, &os.PathError{Op: "mkdir", Path: at, Err: err}
		}
	}
	return Open(root, name, unix.O_PATH|unix.O_DIRECTORY, 0)
}

func mkdir(root *os.File, parents []string, base string, mode os.FileMode) error {
	parent, err := Open(root, "/"+path.Join(parents...), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	fd := int(parent.Fd())
	err = unix.Mkdirat(fd, base, uint32(mode.Perm()))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return err
	}
	// The umask had its say. A link that was put there meanwhile is not followed.
	made, err := unix.Openat(fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(made)
	return unix.Fchmod(made, uint32(mode.Perm()))
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

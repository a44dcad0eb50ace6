package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// Bind is a part of the host to be seen elsewhere.
type Bind struct {
	Source string
	// From is opened instead of Source where given; Source then only names it.
	From       *os.File
	Recursive  bool
	Attributes uint64 // MOUNT_ATTR_* to set, on all of it
	Clear      uint64 // MOUNT_ATTR_* to clear
	// Propagation is MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE; 0 is MS_PRIVATE.
	Propagation uint64
}

// Mount returns the bind as a detached mount. The caller closes it.
func (b Bind) Mount() (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	at := uint(0)
	if b.Recursive {
		flags |= unix.AT_RECURSIVE
		at = unix.AT_RECURSIVE
	}
	dir, path := unix.AT_FDCWD, b.Source
	if b.From != nil {
		dir, path = int(b.From.Fd()), ""
		flags |= unix.AT_EMPTY_PATH
	}
	fd, err := unix.OpenTree(dir, path, flags)
	if errors.Is(err, unix.ENOENT) {
		return nil, errs.New(errs.Invalid, "bind source path does not exist: %s", b.Source)
	}
	if err != nil {
		return nil, fmt.Errorf("bind %s: %w", b.Source, err)
	}
	f := os.NewFile(uintptr(fd), b.Source)
	attr := unix.MountAttr{Attr_set: b.Attributes, Attr_clr: b.Clear, Propagation: b.Propagation}
	if attr.Propagation == 0 {
		attr.Propagation = unix.MS_PRIVATE
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|at, &attr); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("set the options of the bind of %s: %w", b.Source, err)
	}
	return f, nil
}

// IsDir reports whether the root of a mount is a folder.
func IsDir(f *os.File) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

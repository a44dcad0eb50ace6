package mount

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"lus/internal/base/thread"
)

// Placed is a mount and where it goes.
type Placed struct {
	Bind
	Target string
}

// Assembled is a root with mounts in it, in a namespace where nobody runs.
type Assembled struct {
	Root *os.File
	ns   *os.File // keeps the mounts in their places
}

// Close unmounts all of it.
func (a *Assembled) Close() {
	a.Root.Close()
	if a.ns != nil {
		a.ns.Close()
	}
}

// Assemble moves mounts into root, a detached mount, which is its own from then
// on, also when it fails. What they are mounted on is made where it is missing.
func Assemble(root *os.File, mounts []Placed) (*Assembled, error) {
	a := &Assembled{Root: root}
	if len(mounts) == 0 {
		return a, nil
	}
	// Made here, where their sources can be named; a mount belongs to nobody yet.
	made := make([]*os.File, 0, len(mounts))
	defer func() {
		for _, f := range made {
			f.Close()
		}
	}()
	for _, m := range mounts {
		f, err := m.Mount()
		if err != nil {
			a.Close()
			return nil, err
		}
		made = append(made, f)
	}
	// The namespace lasts as long as the descriptor of it.
	if err := thread.Apart(func() error { return a.gather(mounts, made) }); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *Assembled) gather(mounts []Placed, made []*os.File) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare the mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	ns, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return err
	}
	a.ns = ns
	if err := unix.MoveMount(int(a.Root.Fd()), "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("place the root: %w", err)
	}
	for i, m := range mounts {
		if err := place(a.Root, made[i], m.Target); err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	return nil
}

func place(root, what *os.File, target string) error {
	dir, err := IsDir(what)
	if err != nil {
		return err
	}
	var at *os.File
	if dir {
		at, err = MkdirAll(root, target, 0o755)
	} else {
		at, err = makeFile(root, target)
	}
	if err != nil {
		return err
	}
	defer at.Close()
	return unix.MoveMount(int(what.Fd()), "", int(at.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// makeFile opens a file to mount on, made where it is missing.
func makeFile(root *os.File, name string) (*os.File, error) {
	f, err := Open(root, name, unix.O_PATH, 0)
	if !errors.Is(err, unix.ENOENT) {
		return f, err
	}
	dir, err := MkdirAll(root, path.Dir(path.Clean("/"+name)), 0o755)
	if err != nil {
		return nil, err
	}
	dir.Close()
	// Made or not there: what somebody else put there meanwhile, a pipe say, is
	// not to be opened.
	if f, err = Open(root, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDONLY, 0o644); err == nil {
		f.Close()
	} else if !errors.Is(err, unix.EEXIST) {
		return nil, err
	}
	return Open(root, name, unix.O_PATH, 0)
}

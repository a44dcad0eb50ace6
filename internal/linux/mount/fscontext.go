// Package mount makes mounts that are not attached anywhere: overlays, tmpfs,
// device folders, binds. The init of a container only moves them in. It also
// finds and creates paths inside a root without ever leaving it.
//
// Detached mounts belong to no namespace, so every thread of the daemon can
// make them and none shows up in the host's table.
package mount

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// Option is one option of a file system. One without a value is a flag.
type Option struct{ Key, Value string }

// longest is how many bytes fsconfig takes in one string.
const longest = 255

// New makes a file system of the given type and returns it as a detached
// mount with attributes (MOUNT_ATTR_*). The caller closes it.
func New(fstype string, attributes int, options ...Option) (*os.File, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		if errors.Is(err, unix.ENODEV) {
			return nil, errs.New(errs.Unsupported, "this kernel has no file system %q", fstype)
		}
		return nil, fmt.Errorf("fsopen %s: %w", fstype, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		if err := configure(fs, o); err != nil {
			return nil, explain(fs, fmt.Sprintf("mount %s with %s", fstype, o), err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, explain(fs, "mount "+fstype, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return nil, explain(fs, "mount "+fstype, err)
	}
	return os.NewFile(uintptr(fd), fstype), nil
}

// String writes the option as it stands in a list of mount options.
func (o Option) String() string {
	if o.Value == "" {
		return o.Key
	}
	return o.Key + "=" + o.Value
}

func configure(fs int, o Option) error {
	if len(o.Value) > longest {
		// The kernel's own error for this is arbitrary.
		return errs.New(errs.Invalid, "the value of mount option %s is longer than %d bytes", o.Key, longest)
	}
	if o.Value == "" {
		return unix.FsconfigSetFlag(fs, o.Key)
	}
	return unix.FsconfigSetString(fs, o.Key, o.Value)
}

// explain adds what the kernel has to say about a file system's error, which
// is read from its context.
func explain(fs int, what string, err error) error {
	var said []string
	buf := make([]byte, 1024)
	for {
		n, rerr := unix.Read(fs, buf)
		if rerr != nil || n <= 0 {
			break
		}
		line := strings.TrimSpace(string(buf[:n]))
		if _, text, ok := strings.Cut(line, " "); ok && len(line) > 1 && line[1] == ' ' {
			line = text // after a letter: e, w or i
		}
		said = append(said, line)
	}
	if len(said) > 0 {
		return fmt.Errorf("%s: %w (%s)", what, err, strings.Join(said, "; "))
	}
	return fmt.Errorf("%s: %w", what, err)
}

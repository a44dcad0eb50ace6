package runtime

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/mount"
)

// terminal opens a new terminal of a devpts, so that it has a name in the
// container that sees that devpts, and returns its master side and number.
func terminal(devpts *os.File) (*os.File, uint32, error) {
	fd, err := unix.Openat(int(devpts.Fd()), "ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("open a terminal: %w", err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		_ = master.Close()
		return nil, 0, fmt.Errorf("number the terminal: %w", err)
	}
	return master, n, nil
}

// console makes the container's terminal and shows it as its console.
func (b *builder) console() (*os.File, error) {
	if b.pts == nil {
		return nil, nil // the keeper opens one of the host's
	}
	f, n, err := terminal(b.pts)
	if _, err := b.keep(f, err); err != nil {
		return nil, err
	}
	b.program.Console(n)
	return f, nil
}

// devptsMagic tells a devpts from what a container may have put in its place.
const devptsMagic = 0x1cd1

// execTerminal makes a terminal of a running container's devpts; nil where it
// has none. What is found there is the container's word, so it is looked at
// before it is opened.
func (c *container) execTerminal(id string) (*os.File, error) {
	root, err := c.open(id, "root")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	pts, err := mount.Open(root, "/dev/pts", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, nil
	}
	defer pts.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(pts.Fd()), &fs); err != nil || fs.Type != devptsMagic {
		return nil, nil
	}
	// A devpts has no other files than the kernel's, but a mount can cover one.
	node, err := mount.Open(pts, "ptmx", unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil
	}
	defer node.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(node.Fd()), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(5, 2) {
		return nil, nil
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", node.Fd()), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "open a terminal in container %s: %w", id, err)
	}
	return f, nil
}

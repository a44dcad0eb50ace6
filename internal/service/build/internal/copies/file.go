package copies

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	fscopy "github.com/tonistiigi/fsutil/copy"
	"golang.org/x/sys/unix"
)

const (
	bufferSize = 256 << 10
	// smallest is the size from which the kernel is asked to copy: it shares
	// blocks where the file system can.
	smallest = 64 << 10
)

// one copies what is no folder.
func (c *copier) one(ctx context.Context, j *job, buf []byte) error {
	switch {
	case j.kind.IsRegular():
		return c.file(ctx, j, buf)
	case j.kind&os.ModeSymlink != 0:
		return c.symlink(j)
	}
	return c.special(ctx, j)
}

func (c *copier) file(ctx context.Context, j *job, buf []byte) error {
	from, err := unix.Openat(int(j.from.Fd()), j.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return err
	}
	if st.Nlink > 1 && c.again(&st, j.path) {
		return nil
	}
	to, err := unix.Openat(int(j.to.Fd()), j.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	err = c.bytes(ctx, from, to, st.Size, buf)
	if err == nil {
		err = c.dress(from, to, &st)
	}
	return errors.Join(err, unix.Close(to))
}

// again tells of a further name of a file that is copied already: it becomes a
// further name of the copy.
func (c *copier) again(st *unix.Stat_t, name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, ok := c.first[st.Ino]
	if !ok {
		c.first[st.Ino] = name
		return false
	}
	c.links = append(c.links, [2]string{first, name})
	return true
}

// dress gives a copy what the file had: the owner first, since changing it
// clears some of the rest.
func (c *copier) dress(from, to int, st *unix.Stat_t) error {
	if err := c.own(to, "", st); err != nil {
		return err
	}
	if err := unix.Fchmod(to, c.permissions(st)); err != nil {
		return err
	}
	give(attributes(from), func(key string, value []byte) error { return unix.Fsetxattr(to, key, value, 0) })
	return c.setTime(to, "", st)
}

// bytes copies what is in a file.
func (c *copier) bytes(ctx context.Context, from, to int, size int64, buf []byte) error {
	var n int64
	if size >= smallest && !c.apart.Load() {
		var err error
		if n, err = copyRange(ctx, from, to, size); n == 0 && err != nil && ctx.Err() == nil {
			c.apart.Store(true)
		} else if err != nil {
			return err
		}
	}
	for n < size {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := unix.Pread(from, buf, n)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || m == 0 {
			return err
		}
		if err := write(to, buf[:m], n); err != nil {
			return err
		}
		n += int64(m)
	}
	return nil
}

// copyRange lets the kernel copy; it returns how far it came.
func copyRange(ctx context.Context, from, to int, size int64) (int64, error) {
	var n int64
	for n < size {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		in, out := n, n
		m, err := unix.CopyFileRange(from, &in, to, &out, int(min(size-n, rangeSize)), 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || m == 0 {
			return n, err
		}
		n += int64(m)
	}
	return n, nil
}

// rangeSize is how much the kernel copies at a time, before it is asked whether
// to go on.
const rangeSize = 64 << 20

func write(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

func (c *copier) symlink(j *job) error {
	from, to := int(j.from.Fd()), int(j.to.Fd())
	var st unix.Stat_t
	if err := unix.Fstatat(from, j.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(from, j.name, buf)
	if err != nil {
		return err
	}
	if err := unix.Symlinkat(string(buf[:n]), to, j.name); err != nil {
		return err
	}
	if err := c.own(to, j.name, &st); err != nil {
		return err
	}
	name := fmt.Sprintf("/proc/self/fd/%d/%s", to, j.name)
	give(linkAttributes(fmt.Sprintf("/proc/self/fd/%d/%s", from, j.name)), func(key string, value []byte) error {
		return unix.Lsetxattr(name, key, value, 0)
	})
	return c.setTime(to, j.name, &st)
}

// special copies devices, pipes and sockets, which are rare, by BuildKit's code.
func (c *copier) special(ctx context.Context, j *job) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(j.from.Fd()), j.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if c.overlay && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
		return unix.EPERM // as the overlay says: it would be the word for "nothing is here"
	}
	from, to := fmt.Sprintf("/proc/self/fd/%d", j.from.Fd()), fmt.Sprintf("/proc/self/fd/%d", j.to.Fd())
	return inPlace(fscopy.Copy(ctx, from, j.name, to, j.name, c.bare()), from, to)
}

// attribute is an extended attribute.
type attribute struct {
	key   string
	value []byte
}

// attributes are those of an open file.
func attributes(fd int) []attribute {
	return list(
		func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		func(key string, b []byte) (int, error) { return unix.Fgetxattr(fd, key, b) },
	)
}

func linkAttributes(name string) []attribute {
	return list(
		func(b []byte) (int, error) { return unix.Llistxattr(name, b) },
		func(key string, b []byte) (int, error) { return unix.Lgetxattr(name, key, b) },
	)
}

// list reads attributes as far as they can be read, as BuildKit does.
func list(names func([]byte) (int, error), get func(string, []byte) (int, error)) []attribute {
	var small [256]byte
	all, err := grow(small[:], names)
	if err != nil || len(all) == 0 {
		return nil
	}
	var out []attribute
	for key := range strings.SplitSeq(strings.TrimSuffix(string(all), "\x00"), "\x00") {
		value, err := grow(make([]byte, 256), func(b []byte) (int, error) { return get(key, b) })
		if err != nil {
			break
		}
		out = append(out, attribute{key, value})
	}
	return out
}

// grow calls read with ever more room until what it has to say fits.
func grow(b []byte, read func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := read(b)
		if err == nil {
			return b[:n], nil
		}
		if !errors.Is(err, unix.ERANGE) {
			return nil, err
		}
		if n, err = read(nil); err != nil {
			return nil, err
		}
		b = make([]byte, n+64)
	}
}

// overlayAttribute begins what overlayfs itself writes down beside a file. One
// that somebody else made goes by the name that an overlay would give it: below
// one, it would change what others see.
const overlayAttribute = "trusted.overlay."

// give sets attributes as far as the file system takes them.
func give(all []attribute, set func(key string, value []byte) error) {
	for _, a := range all {
		if rest, ok := strings.CutPrefix(a.key, overlayAttribute); ok {
			a.key = overlayAttribute + "overlay." + rest
		}
		if set(a.key, a.value) != nil {
			return
		}
	}
}

package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// PackOptions say what a tar holds beyond names, contents, modes and owners.
type PackOptions struct {
	// Exact keeps all extended attributes and the nanoseconds of times, which
	// not everybody who reads tars understands. Without it there are whole
	// seconds and the capabilities of programs.
	Exact bool
	// Skip leaves out an entry, and with a folder all below it. The name has
	// no slash at its ends.
	Skip func(name string, st *unix.Stat_t) bool
}

// deepest is how many folders may lie in each other: each costs a descriptor
// while it is read.
const deepest = 1024

// Pack writes what dir calls base to w, and in the tar it is called as. Base "."
// is dir itself; with an empty as it has no entry of its own and its content
// begins at the top.
func Pack(ctx context.Context, w io.Writer, dir *os.File, base, as string, o PackOptions) error {
	p := &packer{ctx: ctx, o: o, out: tar.NewWriter(w), links: map[inode]string{}, buf: make([]byte, 128<<10)}
	var err error
	if base == "." {
		err = p.top(dir, as)
	} else {
		err = p.entry(dir, base, as, 0)
	}
	if err != nil {
		return err
	}
	return p.out.Close()
}

type inode struct{ dev, ino uint64 }

type packer struct {
	ctx   context.Context
	o     PackOptions
	out   *tar.Writer
	links map[inode]string
	buf   []byte
}

// top packs dir itself. Called "/", its entries begin with a slash.
func (p *packer) top(dir *os.File, as string) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return &os.PathError{Op: "read", Path: as, Err: unix.ENOTDIR}
	}
	if as != "" {
		if err := p.head(p.header(as, &st), int(dir.Fd())); err != nil {
			return err
		}
	}
	return p.content(dir, as, 0)
}

// content packs what lies in an open folder.
func (p *packer) content(dir *os.File, as string, depth int) error {
	if depth > deepest {
		return fmt.Errorf("%s: more than %d folders lie in each other", as, deepest)
	}
	names, err := names(int(dir.Fd()))
	if err != nil {
		return &os.PathError{Op: "read", Path: as, Err: err}
	}
	if as != "" && !strings.HasSuffix(as, "/") {
		as += "/"
	}
	for _, name := range names {
		if err := p.entry(dir, name, as+name, depth); err != nil {
			return err
		}
	}
	return nil
}

// names lists an open folder in order, from its beginning.
func names(fd int) ([]string, error) {
	dup, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	d := os.NewFile(uintptr(dup), "folder")
	defer d.Close()
	list, err := d.Readdirnames(-1)
	slices.Sort(list)
	return list, err
}

// vanished are the errors of what is gone since its name was read.
func vanished(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

func (p *packer) entry(dir *os.File, name, as string, depth int) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	// The descriptor stays with what was looked at, whatever the name stands for next.
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return p.unless(depth, as, err)
	}
	at := os.NewFile(uintptr(fd), as)
	defer at.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return p.unless(depth, as, err)
	}
	if p.o.Skip != nil && p.o.Skip(as, &st) {
		return nil
	}
	if err := p.node(at, as, &st, depth); err != nil {
		return p.unless(depth, as, err)
	}
	return nil
}

// unless lets what vanished from a folder go; what was asked for by its name
// must be there.
func (p *packer) unless(depth int, as string, err error) error {
	if depth > 0 && vanished(err) {
		return nil
	}
	var known *os.PathError
	if errors.As(err, &known) {
		return err
	}
	return &os.PathError{Op: "read", Path: as, Err: err}
}

func (p *packer) node(at *os.File, as string, st *unix.Stat_t, depth int) error {
	fd := int(at.Fd())
	h := p.header(as, st)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		return nil // a tar has no word for it
	case unix.S_IFDIR:
		open, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		sub := os.NewFile(uintptr(open), as)
		defer sub.Close()
		if err := p.head(h, open); err != nil {
			return err
		}
		return p.content(sub, as, depth+1)
	case unix.S_IFLNK:
		to, err := readlinkat(fd, "")
		if err != nil {
			return err
		}
		h.Linkname = to
		return p.head(h, -1)
	}
	id := inode{st.Dev, st.Ino}
	if first, ok := p.links[id]; ok && st.Nlink > 1 {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		return p.head(h, -1)
	}
	var err error
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		err = p.file(at, h)
	} else {
		err = p.head(h, -1)
	}
	if err == nil && st.Nlink > 1 {
		p.links[id] = as
	}
	return err
}

// header describes an entry. No name is asked for: whose numbers these are only
// the container knows.
func (p *packer) header(as string, st *unix.Stat_t) *tar.Header {
	h := &tar.Header{
		Format: tar.FormatPAX, Name: as, Uid: int(st.Uid), Gid: int(st.Gid), Mode: int64(st.Mode & 0o7777),
		ModTime: time.Unix(st.Mtim.Unix()),
	}
	if !p.o.Exact {
		h.ModTime = h.ModTime.Truncate(time.Second)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag = tar.TypeDir
		if !strings.HasSuffix(h.Name, "/") {
			h.Name += "/"
		}
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	}
	return h
}

const xattrPrefix = "SCHILY.xattr."

// head writes a header, with the extended attributes of fd where there is one.
func (p *packer) head(h *tar.Header, fd int) error {
	if fd >= 0 {
		if err := p.xattrs(h, fd); err != nil {
			return err
		}
	}
	return p.out.WriteHeader(h)
}

func (p *packer) xattrs(h *tar.Header, fd int) error {
	list := []string{"security.capability"}
	if p.o.Exact {
		buf := make([]byte, 64<<10) // the kernel's own limit of a list
		n, err := unix.Flistxattr(fd, buf)
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
		list = strings.FieldsFunc(string(buf[:max(n, 0)]), func(r rune) bool { return r == 0 })
	} else if h.Typeflag == tar.TypeDir {
		return nil
	}
	buf := p.buf[:64<<10]
	for _, name := range list {
		n, err := unix.Fgetxattr(fd, name, buf)
		if err != nil {
			continue // none, or no longer
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrPrefix+name] = string(buf[:n])
	}
	return nil
}

// tiny bounds what is read of a file that says it is empty: those of /proc do.
const tiny = 1 << 20

// file packs a file that was looked at. By its name it could be another thing
// now, one of the host's devices even, and be opened before that shows.
func (p *packer) file(at *os.File, h *tar.Header) error {
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", at.Fd()), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	h.Size = st.Size
	var from io.Reader = f
	if st.Size == 0 && special(fd) {
		data, err := io.ReadAll(io.LimitReader(f, tiny))
		if err != nil {
			data = nil // such files refuse for reasons of their own
		}
		h.Size, from = int64(len(data)), bytes.NewReader(data)
	}
	if err := p.head(h, fd); err != nil {
		return err
	}
	n, err := io.CopyBuffer(p.out, io.LimitReader(from, h.Size), p.buf)
	if err != nil {
		return err
	}
	if n < h.Size { // it was cut meanwhile; the header has been sent
		_, err = io.CopyBuffer(p.out, io.LimitReader(zeros{}, h.Size-n), p.buf)
	}
	return err
}

// special reports whether a file's size says nothing about its content.
func special(fd int) bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return false
	}
	switch st.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return true
	}
	return false
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Mode is the file mode of st as Go writes it.
func Mode(st *unix.Stat_t) fs.FileMode {
	m := fs.FileMode(st.Mode & 0o777)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		m |= fs.ModeSocket
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	}
	for bit, to := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if st.Mode&bit != 0 {
			m |= to
		}
	}
	return m
}

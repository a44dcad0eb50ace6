package tree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// Owner is a user and a group by number.
type Owner struct{ UID, GID int }

// UnpackOptions say how a tar is unpacked.
type UnpackOptions struct {
	// KeepKind refuses to put a file where a folder is, and the other way round.
	KeepKind bool
	// Owner owns all that is unpacked; nil: whoever the tar says.
	Owner *Owner
	// Mine leaves all to whoever unpacks.
	Mine bool
	// WriteOut lets the kernel begin to write big files to the disk while they
	// are unpacked, for who waits for the disk in the end.
	WriteOut bool
	// Rename, where given, gives an entry another name, below dest as well, or
	// refuses it.
	Rename func(name string) (string, error)
}

// Unpack unpacks a plain tar into the folder dest of root. Names that lead out
// of dest are refused.
func Unpack(ctx context.Context, r io.Reader, root Root, dest string, o UnpackOptions) error {
	u := &unpacker{root: root, dest: dest, o: o, buf: make([]byte, 128<<10)}
	defer u.closeParent()
	t := tar.NewReader(r)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			u.closeParent()
			if err := u.finish(); err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r) // who sends it wants to be read to the end
			return err
		}
		if err != nil {
			return broken(err)
		}
		if err := u.entry(h, t); err != nil {
			return err
		}
	}
}

// broken is the error of a tar that ends early or is none; that of the reader
// itself stays as it is.
func broken(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errs.New(errs.Invalid, "this is not a whole tar: %w", err)
	}
	return err
}

type unpacker struct {
	root    Root
	dest    string
	o       UnpackOptions
	buf     []byte
	folders []folder // whose times are set when all is written, and modes that could forbid writing
	parent  *os.File // the folder of the last entry
	where   string
}

type folder struct {
	name string
	at   time.Time
	mode uint32
}

func (u *unpacker) closeParent() {
	if u.parent != nil {
		u.parent.Close()
		u.parent, u.where = nil, ""
	}
}

// enter opens the folder an entry lies in, making it where it is missing.
func (u *unpacker) enter(dir string) (*os.File, error) {
	full := path.Join(u.dest, dir)
	if u.parent != nil && u.where == full {
		return u.parent, nil
	}
	f, err := u.root.Folder(full)
	if errors.Is(err, unix.ENOENT) && dir != "." {
		f, err = u.root.MkdirAll(full, 0o755)
	}
	if err != nil {
		return nil, err
	}
	u.closeParent()
	u.parent, u.where = f, full
	return f, nil
}

func (u *unpacker) entry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if u.o.Rename != nil {
		var err error
		if h.Name, err = u.o.Rename(h.Name); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeLink {
			if h.Linkname, err = u.o.Rename(h.Linkname); err != nil {
				return err
			}
		}
	}
	name := path.Clean(strings.TrimLeft(h.Name, "/"))
	if name == ".." || strings.HasPrefix(name, "../") || strings.IndexByte(name, 0) >= 0 {
		return errs.New(errs.Invalid, "%q is outside of %q", h.Name, u.dest)
	}
	if name == "." {
		return nil // the destination itself stays as it is
	}
	dir, err := u.enter(path.Dir(name))
	if err != nil {
		return err
	}
	fd, base := int(dir.Fd()), path.Base(name)
	exists, err := u.clear(fd, base, name, h)
	if err != nil {
		return err
	}
	if err := u.make(fd, base, exists, h, r); err != nil {
		var known *errs.Error
		if errors.As(err, &known) {
			return err
		}
		return &os.PathError{Op: "write", Path: path.Join(u.dest, name), Err: err}
	}
	if h.Typeflag == tar.TypeDir {
		u.folders = append(u.folders, folder{name, h.ModTime, uint32(h.Mode & 0o7777)})
	}
	return nil
}

// clear makes room for an entry; exists says that it is a folder that stays.
func (u *unpacker) clear(fd int, base, name string, h *tar.Header) (exists bool, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "lstat", Path: path.Join(u.dest, name), Err: err}
	}
	isDir, wantsDir := st.Mode&unix.S_IFMT == unix.S_IFDIR, h.Typeflag == tar.TypeDir
	full := path.Join(u.dest, name)
	switch {
	case isDir && wantsDir:
		return true, nil
	case u.o.KeepKind && isDir:
		return false, errs.New(errs.Invalid, "cannot overwrite directory %q with non-directory %q", full, u.dest)
	case u.o.KeepKind && wantsDir:
		return false, errs.New(errs.Invalid, "cannot overwrite non-directory %q with directory %q", full, u.dest)
	case isDir:
		err = removeAll(fd, base, 0)
	default:
		err = unix.Unlinkat(fd, base, 0)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return false, &os.PathError{Op: "unlinkat", Path: full, Err: err}
	}
	return false, nil
}

// removeAll removes a folder and what is in it, following nothing.
func removeAll(at int, name string, depth int) error {
	if depth > deepest {
		return fmt.Errorf("more than %d folders lie in each other", deepest)
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return unix.Unlinkat(at, name, 0)
	}
	if err != nil {
		return err
	}
	list, err := names(fd)
	for _, n := range list {
		if err == nil {
			err = removeAll(fd, n, depth+1)
		}
	}
	unix.Close(fd)
	if err != nil {
		return err
	}
	return unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
}

func (u *unpacker) make(fd int, base string, exists bool, h *tar.Header, r io.Reader) error {
	mode := uint32(h.Mode & 0o7777)
	switch h.Typeflag {
	case tar.TypeDir:
		if !exists {
			if err := unix.Mkdirat(fd, base, 0o700); err != nil {
				return err
			}
		}
		f, err := openNew(fd, base, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer f.Close()
		if u.o.Mine {
			return nil
		}
		return u.attributes(f, h)
	case tar.TypeReg:
		return u.file(fd, base, h, r)
	case tar.TypeSymlink:
		if err := unix.Symlinkat(h.Linkname, fd, base); err != nil {
			return err
		}
		return u.outside(fd, base, h)
	case tar.TypeLink:
		return u.link(fd, base, h)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		if err := u.device(fd, base, h, mode); err != nil {
			return err
		}
		return u.outside(fd, base, h)
	}
	return errs.New(errs.Invalid, "unhandled tar header type %d of %q", h.Typeflag, h.Name)
}

func (u *unpacker) device(fd int, base string, h *tar.Header, mode uint32) error {
	kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	dev := unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	if kind == unix.S_IFIFO {
		dev = 0
	}
	if err := unix.Mknodat(fd, base, kind|mode, int(dev)); err != nil {
		return err
	}
	return nil
}

// openNew opens what was just made; a link that took its place is not followed.
func openNew(fd int, base string, flags int) (*os.File, error) {
	got, err := unix.Openat(fd, base, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(got), base), nil
}

func (u *unpacker) file(fd int, base string, h *tar.Header, r io.Reader) error {
	got, err := unix.Openat(fd, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(got), base)
	_, err = io.CopyBuffer(&writer{f: f, out: u.o.WriteOut}, r, u.buf)
	if err != nil {
		err = broken(err)
	} else {
		err = u.attributes(f, h)
	}
	if err == nil {
		ts := times(h.ModTime)
		err = unix.UtimesNanoAt(got, "", ts, unix.AT_EMPTY_PATH)
	}
	return errors.Join(err, f.Close())
}

// writer writes to a file, and has it written to the disk where out says so.
type writer struct {
	f           *os.File
	out         bool
	n, toldDisk int64
}

// outSize is how much is told the disk at a time.
const outSize = 8 << 20

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.n += int64(n)
	if w.out && w.n-w.toldDisk >= outSize {
		// A file system that cannot writes when it is asked to sync.
		_ = unix.SyncFileRange(int(w.f.Fd()), w.toldDisk, w.n-w.toldDisk, unix.SYNC_FILE_RANGE_WRITE)
		w.toldDisk = w.n
	}
	return n, err
}

// link makes a hard link; what it names lies below the destination too.
func (u *unpacker) link(fd int, base string, h *tar.Header) error {
	name := path.Clean("/" + h.Linkname)
	dir, err := u.root.Folder(path.Join(u.dest, path.Dir(name)))
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Linkat(int(dir.Fd()), path.Base(name), fd, base, 0)
}

func (u *unpacker) owner(h *tar.Header) (uid, gid int, ok bool) {
	switch {
	case u.o.Mine:
		return 0, 0, false
	case u.o.Owner != nil:
		return u.o.Owner.UID, u.o.Owner.GID, true
	}
	return h.Uid, h.Gid, true
}

// attributes gives an open file or folder its owner, mode and extended
// attributes; the owner first, since changing it clears the others.
func (u *unpacker) attributes(f *os.File, h *tar.Header) error {
	fd := int(f.Fd())
	if uid, gid, ok := u.owner(h); ok {
		if err := unix.Fchown(fd, uid, gid); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(fd, uint32(h.Mode&0o7777)); err != nil {
		return err
	}
	if u.o.Mine {
		return nil
	}
	for k, v := range h.PAXRecords {
		name, ok := strings.CutPrefix(k, xattrPrefix)
		if !ok {
			continue
		}
		if err := unix.Fsetxattr(fd, name, []byte(v), 0); err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	return nil
}

// outside does the same for what cannot be opened.
func (u *unpacker) outside(fd int, base string, h *tar.Header) error {
	if uid, gid, ok := u.owner(h); ok {
		if err := unix.Fchownat(fd, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	if h.Typeflag != tar.TypeSymlink {
		// By its descriptor: chmod would follow a link that took its place.
		f, err := openNew(fd, base, unix.O_PATH)
		if err != nil {
			return err
		}
		defer f.Close()
		err = unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), uint32(h.Mode&0o7777))
		if err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(fd, base, times(h.ModTime), unix.AT_SYMLINK_NOFOLLOW)
}

func times(t time.Time) []unix.Timespec {
	ts := unix.NsecToTimespec(t.UnixNano())
	if t.IsZero() {
		ts = unix.Timespec{}
	}
	return []unix.Timespec{ts, ts}
}

// finish sets the folders' times, which writing into them had changed.
func (u *unpacker) finish() error {
	for _, d := range slices.Backward(u.folders) {
		dir, err := u.root.Folder(path.Join(u.dest, path.Dir(d.name)))
		if err != nil {
			continue // replaced later, or gone
		}
		f, err := openNew(int(dir.Fd()), path.Base(d.name), unix.O_RDONLY|unix.O_DIRECTORY)
		dir.Close()
		if err != nil {
			continue
		}
		err = unix.UtimesNanoAt(int(f.Fd()), "", times(d.at), unix.AT_EMPTY_PATH)
		if err == nil && u.o.Mine {
			err = unix.Fchmod(int(f.Fd()), d.mode)
		}
		f.Close()
		if err != nil && !vanished(err) {
			return err
		}
	}
	return nil
}

// Package untar unpacks the tar of a build context. The tar comes from outside
// and may be made to harm: nothing it says reaches beyond the folder it is
// unpacked to, which only root enters, no device is made, and no owner is taken over.
package untar

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/decompress"
	"lus/internal/base/errs"
)

// Unpack unpacks a tar, plain or compressed by gzip, bzip2, xz or zstd, into an
// existing folder.
func Unpack(ctx context.Context, r io.Reader, dir string) error {
	plain, err := decompress.Reader(ctx, r)
	if err != nil {
		return broken(err)
	}
	defer plain.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	u := unpacker{root: root, times: map[string]time.Time{}}
	t := tar.NewReader(plain)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			// To the end: the checksum of what is compressed comes last.
			if _, err := io.Copy(io.Discard, plain); err != nil {
				return broken(err)
			}
			return u.finish()
		}
		if err != nil {
			return broken(err)
		}
		if err := u.entry(h, t); err != nil {
			return err
		}
	}
}

// broken is the error of what is no tar to its end; one that says what to do
// stays as it is.
func broken(err error) error {
	var known *errs.Error
	if errors.As(err, &known) {
		return err
	}
	return errs.New(errs.Invalid, "the build context is not a whole tar: %w", err)
}

// unpacker writes entries below root, which follows no link out of itself.
type unpacker struct {
	root  *os.Root
	times map[string]time.Time // of folders, set when all is written
}

func (u *unpacker) entry(h *tar.Header, r io.Reader) error {
	name := path.Clean(strings.TrimLeft(h.Name, "/"))
	if name == "." {
		return nil
	}
	if !filepath.IsLocal(name) {
		return errs.New(errs.Invalid, "the build context has an entry outside itself: %q", h.Name)
	}
	if len(name) >= unix.PathMax {
		return errs.New(errs.Invalid, "the build context has an entry with a path of %d bytes: %d are the most", len(name), unix.PathMax-1)
	}
	if err := u.make(name, h, r); err != nil {
		var known *errs.Error
		if errors.As(err, &known) {
			return err
		}
		return errs.New(errs.Invalid, "the build context's entry %q cannot be unpacked: %w", h.Name, err)
	}
	return nil
}

func (u *unpacker) make(name string, h *tar.Header, r io.Reader) error {
	if dir := path.Dir(name); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	mode := h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		return u.folder(name, mode, h.ModTime)
	case tar.TypeReg:
		return u.file(name, mode, h, r)
	case tar.TypeSymlink:
		if err := u.clear(name); err != nil {
			return err
		}
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		target := path.Clean(strings.TrimLeft(h.Linkname, "/"))
		if err := u.clear(name); err != nil {
			return err
		}
		return u.root.Link(target, name)
	}
	return errs.New(errs.Invalid, "the build context's entry %q is neither a file, a folder nor a link", h.Name)
}

// clear makes room for an entry that comes a second time.
func (u *unpacker) clear(name string) error {
	st, err := u.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.IsDir() {
		return u.root.RemoveAll(name)
	}
	return u.root.Remove(name)
}

func (u *unpacker) folder(name string, mode fs.FileMode, at time.Time) error {
	if st, err := u.root.Lstat(name); err == nil && !st.IsDir() {
		if err := u.root.Remove(name); err != nil {
			return err
		}
	}
	if err := u.root.Mkdir(name, mode.Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	u.times[name] = at
	return u.root.Chmod(name, mode)
}

func (u *unpacker) file(name string, mode fs.FileMode, h *tar.Header, r io.Reader) error {
	if err := u.clear(name); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask is, and with what an open cannot set
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return u.root.Chtimes(name, h.ModTime, h.ModTime)
}

// finish sets the folders' times, which writing into them had changed.
func (u *unpacker) finish() error {
	for name, at := range u.times {
		if st, err := u.root.Lstat(name); err != nil || !st.IsDir() {
			continue // replaced later in the tar
		}
		if err := u.root.Chtimes(name, at, at); err != nil {
			return err
		}
	}
	return nil
}

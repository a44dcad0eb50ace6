package folder

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"

	"github.com/moby/buildkit/cache/contenthash"
	"github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// file is one file to read, in its folder and with its place in the snapshot.
type file struct {
	path     string
	from, to *dir
	name     string
	stat     *fstypes.Stat
	record   *record
}

func (f *file) drop() {
	f.from.drop()
	f.to.drop()
}

// startWorkers lets some goroutines take files over until s.files is closed.
func (s *syncer) startWorkers(ctx context.Context) {
	s.files = make(chan file, 64)
	for range max(2, runtime.GOMAXPROCS(0)) {
		s.workers.Go(func() {
			buf := make([]byte, 256<<10)
			for f := range s.files {
				if ctx.Err() == nil {
					if err := s.take(ctx, &f, buf); err != nil {
						s.stop(err)
					}
				}
				f.drop()
			}
		})
	}
}

// send hands a file to the workers.
func (s *syncer) send(ctx context.Context, t *tree, in *place, p string, st *fstypes.Stat, r *record) error {
	to, _, err := in.at(p)
	if err != nil {
		return err
	}
	s.set(p, r)
	s.fresh[p] = struct{}{}
	f := file{path: p, from: t.last.dir.keep(), to: to.keep(), name: t.last.name, stat: st, record: r}
	select {
	case s.files <- f:
		return nil
	case <-ctx.Done():
		f.drop()
		return context.Cause(ctx)
	}
}

// errChanged says that a name stands for something else than before.
var errChanged = errors.New("it is another file now")

// take copies a file into the snapshot and hashes the bytes that got there: the
// hash is right whatever is done to the file meanwhile.
func (s *syncer) take(ctx context.Context, f *file, buf []byte) error {
	dgst, err := s.copy(ctx, f, buf)
	if errors.Is(err, errChanged) || gone(err) || errors.Is(err, unix.ELOOP) {
		s.mu.Lock()
		s.unstable = append(s.unstable, f.path)
		s.mu.Unlock()
		f.record.unsure = true
		_ = unix.Unlinkat(f.to.fd, f.name, 0)
		return nil
	}
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return errs.New(errs.Denied, "the context's file %s cannot be read: %w: name it in .dockerignore if the build does not need it", f.path, err)
	}
	if err != nil {
		return &os.PathError{Op: "take over", Path: f.path, Err: err}
	}
	return s.change(fsutil.ChangeKindAdd, f.path, hashed{&fsutil.StatInfo{Stat: f.stat}, dgst}, nil)
}

func (s *syncer) copy(ctx context.Context, f *file, buf []byte) (digest.Digest, error) {
	var dgst digest.Digest
	to, err := unix.Openat(f.to.fd, f.name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", fmt.Errorf("into the snapshot: %w", fault(err))
	}
	defer unix.Close(to)
	if f.stat.Size > 0 || f.record.size > 0 {
		err = s.content(ctx, f, to, buf, &dgst)
	} else {
		var h hash.Hash
		if h, err = contenthash.NewFromStat(f.stat); err == nil {
			dgst = digest.NewDigest(digest.SHA256, h)
		}
	}
	if err != nil {
		return "", err
	}
	if err := dress(to, f.stat); err != nil {
		return "", fault(err)
	}
	return dgst, setTime(f.to.fd, f.name, f.stat.ModTime)
}

// fault hides what an error of the snapshot looks like, which says nothing
// about the file of the context.
func fault(err error) error { return errs.New(errs.Internal, "%v", err) }

// content opens the file that the walk saw, and no other, and copies it.
func (s *syncer) content(ctx context.Context, f *file, to int, buf []byte, dgst *digest.Digest) error {
	from, err := openFile(f.from.fd, f.name, f.record)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	// What is cut short meanwhile is begun again: its length goes into the hash.
	for range passes {
		var before, after unix.Stat_t
		if err := unix.Fstat(from, &before); err != nil {
			return err
		}
		f.stat.Size, f.stat.ModTime = before.Size, before.Mtim.Nano()
		f.record.size, f.record.mtime, f.record.ctime = before.Size, before.Mtim.Nano(), before.Ctim.Nano()
		f.record.unsure = f.record.unsure || s.late(&before)
		h, err := contenthash.NewFromStat(f.stat)
		if err != nil {
			return err
		}
		n, err := s.bytes(ctx, from, to, before.Size, h, buf)
		if err != nil {
			return err
		}
		if err := unix.Fstat(from, &after); err != nil {
			return err
		}
		if after.Ctim != before.Ctim || after.Size != before.Size {
			f.record.unsure = true
		}
		if n == before.Size {
			*dgst = digest.NewDigest(digest.SHA256, h)
			return nil
		}
		if err := unix.Ftruncate(to, 0); err != nil {
			return fault(err)
		}
	}
	return errChanged
}

// openFile opens a file for reading. Nothing but a file is opened: opening a
// device can have effects, and a pipe may wait for ever.
func openFile(at int, name string, r *record) (int, error) {
	look, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(look)
	var st unix.Stat_t
	if err := unix.Fstat(look, &st); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Ino != r.ino || st.Dev != r.dev || uint32(fileMode(st.Mode)) != r.mode {
		return -1, errChanged
	}
	return unix.Open(fmt.Sprintf("/proc/self/fd/%d", look), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// smallest is the size from which a file's blocks are shared rather than
// copied, where the file system can.
const smallest = 64 << 10

// bytes copies up to size bytes and hashes what it wrote.
func (s *syncer) bytes(ctx context.Context, from, to int, size int64, h io.Writer, buf []byte) (int64, error) {
	if size >= smallest && !s.noClone.Load() {
		err := unix.IoctlFileClone(to, from)
		if err == nil {
			return s.hashClone(ctx, to, size, h, buf)
		}
		s.noClone.Store(true)
	}
	var n int64
	for n < size {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		m, err := read(from, buf[:min(int64(len(buf)), size-n)], n)
		if err != nil || m == 0 {
			return n, err
		}
		if err := write(to, buf[:m], n); err != nil {
			return n, err
		}
		_, _ = h.Write(buf[:m]) // a hash takes all
		n += int64(m)
		s.moved.Add(int64(m))
	}
	return n, nil
}

// hashClone cuts a clone, which has all that was in the file at that moment,
// to size and hashes it.
func (s *syncer) hashClone(ctx context.Context, to int, size int64, h io.Writer, buf []byte) (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(to, &st); err != nil || st.Size < size {
		return 0, err
	}
	if err := unix.Ftruncate(to, size); err != nil {
		return 0, fault(err)
	}
	var n int64
	for n < size {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		m, err := read(to, buf[:min(int64(len(buf)), size-n)], n)
		if err != nil || m == 0 {
			return n, err
		}
		_, _ = h.Write(buf[:m])
		n += int64(m)
		s.moved.Add(int64(m))
	}
	return n, nil
}

func read(fd int, b []byte, at int64) (int, error) {
	for {
		n, err := unix.Pread(fd, b, at)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func write(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
				return err
			}
			return fault(err)
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

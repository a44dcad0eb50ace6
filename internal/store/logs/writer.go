package logs

import (
	"errors"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// Writer appends records to a log. One Writer per log at a time; it is not safe
// for concurrent use. It works on bare descriptors and holds no buffer, because
// the keeper has one for each of a thousand containers.
type Writer struct {
	path     string
	maxSize  int64
	maxFiles int
	fd       int // -1: not open
	head     head
	size     int64
	frame    [frameSize]byte
}

// NewWriter returns a writer for the log at path; zero bounds are the defaults.
// It touches nothing before Open or the first Append.
func NewWriter(path string, maxSize int64, maxFiles int) *Writer {
	if maxSize <= 0 {
		maxSize = DefaultMaxSize
	}
	if maxFiles <= 0 {
		maxFiles = DefaultMaxFiles
	}
	return &Writer{path: path, maxSize: maxSize, maxFiles: maxFiles, fd: -1}
}

// Open opens the newest file or makes the first, and cuts off a record that a
// former writer was killed in.
func (w *Writer) Open() error {
	if w.fd >= 0 {
		return nil
	}
	return w.open(w.path)
}

func (w *Writer) open(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_APPEND|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o640)
	if err != nil {
		return w.failed("open", err)
	}
	if err := w.adopt(fd); err != nil {
		_ = unix.Close(fd)
		return err
	}
	w.fd = fd
	return nil
}

// adopt learns the file's head and end, and repairs both.
func (w *Writer) adopt(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return w.failed("stat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errs.New(errs.Invalid, "log %s is not a regular file: remove it", w.path)
	}
	b := make([]byte, headSize)
	if n, err := unix.Pread(fd, b, 0); err == nil {
		if h, ok := decodeHead(b[:max(n, 0)]); ok {
			end, err := validEnd(descriptor(fd), h, st.Size)
			if err == nil && end < st.Size {
				err = unix.Ftruncate(fd, end)
			}
			if err != nil {
				return w.failed("repair", err)
			}
			w.head, w.size = h, end
			return nil
		}
	}
	return w.begin(fd)
}

// begin writes the head of a new file.
func (w *Writer) begin(fd int) error {
	var m [4]byte
	for w.head.marker = 0; w.head.marker == 0; {
		if _, err := unix.Getrandom(m[:], 0); err != nil {
			return w.failed("draw a marker for", err)
		}
		w.head.marker = uint32(m[0]) | uint32(m[1])<<8 | uint32(m[2])<<16 | uint32(m[3])<<24
	}
	w.head.seq = max(w.head.seq, w.lastSeq()) + 1
	if err := unix.Ftruncate(fd, 0); err != nil {
		return w.failed("empty", err)
	}
	b := w.head.encode()
	if n, err := unix.Write(fd, b); err != nil || n < len(b) {
		_ = unix.Ftruncate(fd, 0)
		return w.failed("begin", orShort(err))
	}
	w.size = headSize
	return nil
}

// lastSeq is the sequence number of the youngest of the older files.
func (w *Writer) lastSeq() uint64 {
	for n := 1; n <= maxGap; n++ {
		fd, err := unix.Open(name(w.path, n), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		b := make([]byte, headSize)
		got, err := unix.Pread(fd, b, 0)
		_ = unix.Close(fd)
		if err != nil {
			continue
		}
		if h, ok := decodeHead(b[:got]); ok {
			return h.seq
		}
	}
	return 0
}

// Append writes one record, all of it or nothing. The data is at most MaxData
// long. An error of kind Unavailable says that the disk did not take it.
func (w *Writer) Append(at time.Time, s Stream, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if len(data) > MaxData {
		return errs.New(errs.Invalid, "a log record holds at most %d bytes, not %d", MaxData, len(data))
	}
	if err := w.Open(); err != nil {
		return err
	}
	total := int64(frameSize + len(data))
	if w.size+total > w.maxSize && w.size > headSize {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	prefix{length: len(data), at: at.UnixNano(), stream: s}.encode(w.frame[:prefixSize], w.head.marker)
	encodeSuffix(w.frame[prefixSize:], len(data), w.head.marker)
	n, err := unix.Writev(w.fd, [][]byte{w.frame[:prefixSize], data, w.frame[prefixSize:]})
	if err != nil || int64(n) < total {
		if n > 0 {
			// A torn record must not stay: the next one would follow it.
			if terr := unix.Ftruncate(w.fd, w.size); terr != nil {
				w.Close()
			}
		}
		return w.failed("write", orShort(err))
	}
	w.size += total
	return nil
}

// rotate moves every file one name on and begins a new one.
func (w *Writer) rotate() error {
	w.Close()
	if w.maxFiles == 1 {
		return w.replace()
	}
	last := w.maxFiles - 1
	if err := unix.Unlink(name(w.path, last)); err != nil && !errors.Is(err, unix.ENOENT) {
		return w.failed("rotate", err)
	}
	for n := last - 1; n >= 0; n-- {
		if err := unix.Rename(name(w.path, n), name(w.path, n+1)); err != nil && !errors.Is(err, unix.ENOENT) {
			return w.failed("rotate", err)
		}
	}
	return w.Open()
}

// replace puts a new file in the place of the only one. Followers take a log
// that is deleted for ended, so its name must not vanish.
func (w *Writer) replace() error {
	fresh := w.path + ".new"
	if err := unix.Unlink(fresh); err != nil && !errors.Is(err, unix.ENOENT) {
		return w.failed("rotate", err)
	}
	if err := w.open(fresh); err != nil {
		return err
	}
	if err := unix.Rename(fresh, w.path); err != nil {
		w.Close()
		return w.failed("rotate", err)
	}
	return nil
}

// Close closes the file; a later Append opens it again.
func (w *Writer) Close() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd)
		w.fd = -1
	}
}

// Path is the name of the newest file.
func (w *Writer) Path() string { return w.path }

// Settings are what NewWriter was given, or its defaults.
func (w *Writer) Settings() (path string, maxSize int64, maxFiles int) {
	return w.path, w.maxSize, w.maxFiles
}

func (w *Writer) failed(what string, err error) error {
	kind := errs.Internal
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EIO) ||
		errors.Is(err, unix.ENFILE) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENOMEM) {
		kind = errs.Unavailable
	}
	if errors.Is(err, fs.ErrNotExist) {
		kind = errs.NotFound
	}
	return errs.New(kind, "cannot %s the log %s: %w", what, w.path, err)
}

// orShort names the reason of a write that took less than it was given: the
// disk is full (or a limit of file sizes was met) and the next write would say so.
func orShort(err error) error {
	if err == nil {
		return unix.ENOSPC
	}
	return err
}

// descriptor reads a bare descriptor.
type descriptor int

// ReadAt reads from the descriptor at off.
func (d descriptor) ReadAt(b []byte, off int64) (int, error) {
	total := 0
	for total < len(b) {
		n, err := unix.Pread(int(d), b[total:], off+int64(total))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return total, err
		}
		if n == 0 {
			return total, io.EOF
		}
		total += n
	}
	return total, nil
}

package logs

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cutFirst is a file of which the first few looks see only a part, as a reader
// does that the writer overtakes between two looks.
type cutFirst struct {
	io.ReaderAt
	size  int64 // what the first looks see
	looks int   // how many those are
}

func (c *cutFirst) ReadAt(b []byte, off int64) (int, error) {
	if c.looks--; c.looks < 0 {
		return c.ReaderAt.ReadAt(b, off)
	}
	n := max(0, min(int64(len(b)), c.size-off))
	n2, err := c.ReaderAt.ReadAt(b[:n], off)
	if err == nil && n2 < len(b) {
		err = io.EOF
	}
	return n2, err
}

// TestARecordSeenHalfWrittenIsNotSkipped: however much the writer does between
// two looks of a reader, and wherever in a record the first look ended, nothing
// is passed over.
func TestARecordSeenHalfWrittenIsNotSkipped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := NewWriter(path, 0, 0)
	defer w.Close()
	for i, size := range []int{70 << 10, 10, 70 << 10, 3} {
		data := make([]byte, size)
		data[0] = byte(i)
		if err := w.Append(time.Unix(int64(i), 0), Stdout, data); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for looks := range 6 {
		for size := int64(0); size <= w.size; size += 997 {
			win, off := window{src: &cutFirst{descriptor(fd), size, looks}}, int64(headSize)
			for i := byte(0); i < 4; i++ {
				e, end, err := win.next(w.head, off)
				if err != nil {
					t.Fatal(err)
				}
				if end == 0 { // as a follower does, who looks again
					win.forget()
					i--
					continue
				}
				if e.Data[0] != i {
					t.Fatalf("%d looks saw %d of %d bytes: record %d came after %d", looks, size, w.size, e.Data[0], int(i)-1)
				}
				off = end
			}
		}
	}
}

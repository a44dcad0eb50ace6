package logs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// validEnd returns where the last whole record of a file ends. It believes the
// frame at the end of the file; where that is torn it walks from the start.
func validEnd(f io.ReaderAt, h head, size int64) (int64, error) {
	if size <= headSize {
		return headSize, nil
	}
	if _, ok, err := recordBefore(f, h, size); ok || err != nil {
		return size, err
	}
	w := window{src: f}
	off := int64(headSize)
	for {
		_, next, err := w.next(h, off)
		if err != nil || next == 0 {
			return off, err
		}
		off = next
	}
}

// recordBefore returns where the record that ends at off begins; ok is false
// where none does.
func recordBefore(f io.ReaderAt, h head, off int64) (start int64, ok bool, err error) {
	if off < headSize+frameSize {
		return 0, false, nil
	}
	var b [prefixSize]byte
	if err := readAt(f, b[:suffixSize], off-suffixSize); err != nil {
		return 0, false, gone(err)
	}
	n, ok := decodeSuffix(b[:], h.marker)
	start = off - frameSize - int64(n)
	if !ok || start < headSize {
		return 0, false, nil
	}
	if err := readAt(f, b[:], start); err != nil {
		return 0, false, gone(err)
	}
	p, ok := decodePrefix(b[:], h.marker)
	return start, ok && p.length == n, nil
}

func readAt(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	return err
}

// gone takes the end of the file for what it is: nothing there (yet).
func gone(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// window reads a file forward through one buffer.
type window struct {
	src io.ReaderAt
	buf []byte // what was read
	off int64  // where buf begins in the file
	mem []byte // buf's memory, kept
}

const windowSize = 64 << 10

// at returns n bytes at off, or fewer where the file ends.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off < w.off || off+int64(n) > w.off+int64(len(w.buf)) {
		if err := w.fill(off, n); err != nil {
			return nil, err
		}
	}
	b := w.buf[off-w.off:]
	return b[:min(n, len(b))], nil
}

func (w *window) fill(off int64, n int) error {
	if need := max(n, windowSize); len(w.mem) < need {
		w.mem = make([]byte, need)
	}
	got, err := w.src.ReadAt(w.mem, off)
	w.buf, w.off = w.mem[:got], off
	return gone(err)
}

// forget drops what was read: the file's end may since have been written anew.
func (w *window) forget() { w.buf, w.off = nil, 0 }

// next returns the first whole record at or behind off and where it ends, zero
// where there is none. What lies before it was damaged, by a disk or a power cut.
func (w *window) next(h head, off int64) (Entry, int64, error) {
	for found := int64(-1); ; {
		e, end, err := w.scan(h, off)
		start := end - frameSize - int64(len(e.Data))
		if err != nil || end == 0 || start == off || start == found {
			return e, end, err
		}
		// What seems damaged may have been whole a moment later, and this record
		// written since. Whatever lies before it is done now: once more.
		found = start
		w.forget()
	}
}

// scan is next for a file that nobody writes meanwhile.
func (w *window) scan(h head, off int64) (Entry, int64, error) {
	var mark [4]byte
	binary.LittleEndian.PutUint32(mark[:], h.marker)
	for {
		e, n, err := w.record(h, off)
		if err != nil || n > 0 {
			return e, off + n, err
		}
		if n == incomplete {
			return Entry{}, 0, nil
		}
		// One that is cut short is the last; with a whole one behind its beginning
		// it is not cut short, but its length is wrong.
		off++
		for {
			b, err := w.at(off, windowSize)
			if err != nil || len(b) < frameSize {
				return Entry{}, 0, err
			}
			if i := bytes.Index(b, mark[:]); i >= 0 {
				off += int64(i)
				break
			}
			off += int64(len(b) - len(mark) + 1)
		}
	}
}

// What record returns instead of a length: nothing is there, or not enough to
// tell; no record is there; the file ends before the record does (the writer may
// be at it).
const (
	incomplete = 0
	damaged    = -1
	cut        = -2
)

// record returns the record at off and its whole length.
func (w *window) record(h head, off int64) (Entry, int64, error) {
	b, err := w.at(off, prefixSize)
	if err != nil || len(b) < prefixSize {
		return Entry{}, incomplete, err
	}
	p, ok := decodePrefix(b, h.marker)
	if !ok {
		return Entry{}, damaged, nil
	}
	total := frameSize + p.length
	b, err = w.at(off, total)
	if err != nil || len(b) < total {
		return Entry{}, cut, err
	}
	if n, ok := decodeSuffix(b[prefixSize+p.length:], h.marker); !ok || n != p.length {
		return Entry{}, damaged, nil
	}
	return p.entry(b[prefixSize : prefixSize+p.length]), int64(total), nil
}

func (p prefix) entry(data []byte) Entry {
	return Entry{Time: time.Unix(0, p.at).UTC(), Stream: p.stream, Data: data, Partial: data[len(data)-1] != '\n'}
}

// Package logs keeps what a container writes: an append-only file of framed
// records (time, stream, bytes), bounded and rotated, written by one Writer and
// read by any number of Readers, also while it grows.
//
// # Format
//
// The newest file has the plain name, older ones end in .1, .2 and so on. Each
// begins with a head: the magic, four random bytes called the marker, and a
// sequence number that rises by one with every rotation. A record is
//
//	marker u32, length u32, unix nanoseconds i64, stream u8, 3 zero bytes
//	the bytes
//	length u32, marker u32
//
// all little endian. The marker before and behind a record tells a whole record
// from a torn one; it is random and so what a container prints cannot imitate
// one. The length behind the bytes is what lets a reader walk back from the end.
package logs

import (
	"encoding/binary"
	"strconv"
	"time"
)

// Stream says where the bytes of a record came from.
type Stream uint8

// The streams. A Notice is not of the container: it tells what was lost.
const (
	Stdout Stream = 1
	Stderr Stream = 2
	Notice Stream = 3
)

// Bounds of the format and the defaults of a Writer.
const (
	MaxData         = 1 << 20
	DefaultMaxSize  = 10 << 20
	DefaultMaxFiles = 5

	magic      = "lus.log1"
	headSize   = 24
	prefixSize = 20
	suffixSize = 8
	frameSize  = prefixSize + suffixSize
	maxGap     = 2 // missing names in a row that end a search for older files
)

// head is how a file begins.
type head struct {
	marker uint32
	seq    uint64
}

func (h head) encode() []byte {
	b := make([]byte, headSize)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], h.marker)
	binary.LittleEndian.PutUint64(b[16:], h.seq)
	return b
}

func decodeHead(b []byte) (head, bool) {
	if len(b) < headSize || string(b[:8]) != magic {
		return head{}, false
	}
	h := head{marker: binary.LittleEndian.Uint32(b[8:]), seq: binary.LittleEndian.Uint64(b[16:])}
	return h, h.marker != 0 && h.seq != 0 // a writer draws no other
}

// prefix is what stands before a record's bytes.
type prefix struct {
	length int
	at     int64
	stream Stream
}

func (p prefix) encode(b []byte, marker uint32) {
	binary.LittleEndian.PutUint32(b, marker)
	binary.LittleEndian.PutUint32(b[4:], uint32(p.length))
	binary.LittleEndian.PutUint64(b[8:], uint64(p.at))
	b[16], b[17], b[18], b[19] = byte(p.stream), 0, 0, 0
}

func decodePrefix(b []byte, marker uint32) (prefix, bool) {
	n := binary.LittleEndian.Uint32(b[4:])
	if binary.LittleEndian.Uint32(b) != marker || n == 0 || n > MaxData {
		return prefix{}, false
	}
	return prefix{length: int(n), at: int64(binary.LittleEndian.Uint64(b[8:])), stream: Stream(b[16])}, true
}

func encodeSuffix(b []byte, length int, marker uint32) {
	binary.LittleEndian.PutUint32(b, uint32(length))
	binary.LittleEndian.PutUint32(b[4:], marker)
}

// decodeSuffix returns the length of the bytes before it.
func decodeSuffix(b []byte, marker uint32) (int, bool) {
	n := binary.LittleEndian.Uint32(b)
	if binary.LittleEndian.Uint32(b[4:]) != marker || n == 0 || n > MaxData {
		return 0, false
	}
	return int(n), true
}

// name is the n-th youngest file's.
func name(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

// Entry is a piece of what a container wrote. Data is valid until the next call.
type Entry struct {
	Time   time.Time
	Stream Stream
	Data   []byte
	// Partial: the line goes on in a later entry of the same stream.
	Partial bool
}

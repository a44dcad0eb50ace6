package keeper

import (
	"path/filepath"
	"testing"
	"unsafe"

	"lus/internal/store/logs"
)

// What waits for a disk that stands still is bounded, however small the pieces
// in which it was written: each of them takes memory of its own.
func TestSmallPiecesAreBoundedToo(t *testing.T) {
	stands := &disk{poke: func() {}, wake: make(chan struct{}, 1), stuck: map[*sink]struct{}{}} // nobody runs it
	s := &server{buf: make([]byte, readSize)}
	p := &proc{sink: &sink{disk: stands, log: logs.NewWriter(filepath.Join(t.TempDir(), "log"), 0, 0)}}
	pieces := 0
	for room, _ := p.sink.room(); room; room, _ = p.sink.room() {
		s.store(p, &output{stream: byte(logs.Stdout)}, 1)
		pieces++
	}
	if taken := pieces * int(unsafe.Sizeof(job{})); taken > 2*diskBytes {
		t.Errorf("%d pieces of a byte each wait, in %d bytes of memory", pieces, taken)
	}
}

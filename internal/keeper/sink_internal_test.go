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

// What a program left in the background may write to its pipe for as long as it
// likes, faster than the disk takes it: the news of the program's end waits for
// what was written until then, and for nothing behind that.
func TestAnEndDoesNotWaitForOthersWhoWriteOn(t *testing.T) {
	slow := &disk{poke: func() {}, wake: make(chan struct{}, 1), stuck: map[*sink]struct{}{}} // taken from by hand
	s := &server{buf: make([]byte, readSize), blocked: map[*proc]struct{}{}}
	p := &proc{sink: &sink{disk: slow, log: logs.NewWriter(filepath.Join(t.TempDir(), "log"), 0, 0)}, outs: [2]output{{fd: -1}, {fd: -1}}}
	write := func() { s.store(p, &output{stream: byte(logs.Stdout)}, 1) }
	written := func() {
		j, _ := slow.take()
		slow.done(j, nil)
	}
	write()
	write()
	if !s.drainLast(p) { // it has ended
		t.Fatal("what was in its pipe is not read")
	}
	p.noteDrained()
	for i := range 2 {
		if s.settled(p) {
			t.Errorf("the end is told when %d of 2 pieces are written", i)
		}
		write() // by somebody else
		s.blocked[p] = struct{}{}
		written()
	}
	if !s.settled(p) {
		t.Error("the end waits for what was written after it")
	}
	written()
	written()
	if !p.sink.idle() {
		t.Error("there is more to write")
	}
}

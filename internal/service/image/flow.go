package image

import (
	"errors"
	"io"
	"sync"
)

const (
	flowChunk  = 128 << 10
	flowChunks = 16 // 2 MB on the way between a download and its unpacking
)

// errNotFlowed: the bytes did not come by here; they are in the store.
var errNotFlowed = errors.New("the blob is to be read from the store")

// flow hands the bytes of a download on to who unpacks them meanwhile. A reader
// that has enough does not hold the download up.
type flow struct {
	full, empty chan []byte
	gone        chan struct{}
	leave       sync.Once

	err  error // why it ends; set before full is closed
	rest []byte
	back []byte // the chunk that rest is the end of
}

func newFlow() *flow {
	f := &flow{full: make(chan []byte, flowChunks), empty: make(chan []byte, flowChunks), gone: make(chan struct{})}
	for range flowChunks {
		f.empty <- nil
	}
	return f
}

// Write implements io.Writer. It never fails.
func (f *flow) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		var chunk []byte
		select {
		case chunk = <-f.empty:
		case <-f.gone:
			return n, nil
		}
		if chunk == nil {
			chunk = make([]byte, flowChunk)
		}
		chunk = chunk[:copy(chunk[:flowChunk], p)]
		p = p[len(chunk):]
		f.full <- chunk // as many fit as there are
	}
	return n, nil
}

// end tells the reader that no more comes; nil means that all has come. It is
// called once.
func (f *flow) end(err error) {
	f.err = err
	close(f.full)
}

// Read implements io.Reader.
func (f *flow) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.back != nil {
			f.empty <- f.back
			f.back = nil
		}
		chunk, ok := <-f.full
		if !ok {
			if f.err != nil {
				return 0, f.err
			}
			return 0, io.EOF
		}
		f.back, f.rest = chunk, chunk
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// Close tells the writer that nobody reads any more.
func (f *flow) Close() error {
	f.leave.Do(func() { close(f.gone) })
	return nil
}

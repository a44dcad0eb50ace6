package registry

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
)

// ahead is how much of a blob must have come before any of it is sent on.
const ahead = 64 << 10

// coming is a blob on its way here from another registry. Who asks for it meanwhile
// reads what is there, and waits for the rest.
type coming struct {
	mu    sync.Mutex
	more  chan struct{} // closed, and another one, when anything below changes
	size  int64
	file  *os.File // what it is received into
	users int      // of file: who fetches it, and who reads it meanwhile
	have  int64
	ended bool
	err   error
}

func newComing() *coming {
	return &coming{more: make(chan struct{}), users: 1}
}

// begin tells of what size the blob is, and where it comes.
func (c *coming) begin(size, have int64, file *os.File) {
	c.change(func() { c.size, c.have, c.file = size, have, file })
}

// change does something under the lock, and wakes who waits.
func (c *coming) change(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
	close(c.more)
	c.more = make(chan struct{})
}

// end is the last word of who fetches it; nil: the blob is here.
func (c *coming) end(err error) {
	c.change(func() { c.ended, c.err = true, err })
	c.leave()
}

// leave closes the file after its last user.
func (c *coming) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users--; c.users == 0 && c.file != nil {
		_ = c.file.Close() // it was read
	}
}

// follow reads the blob while it comes; nil where it is here by then. It waits for
// some of it: what goes wrong at once, or with a small blob, can so be told. One of
// a size that nobody tells is waited for to its end.
func (c *coming) follow(ctx context.Context) (*following, error) {
	for {
		c.mu.Lock()
		more := c.more
		switch {
		case c.ended:
			defer c.mu.Unlock()
			return nil, c.err
		case c.have >= ahead && c.file != nil: // of what size it is can be told
			defer c.mu.Unlock()
			c.users++
			return &following{c: c, ctx: ctx}, nil
		}
		c.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// following is a reader of a blob that comes.
type following struct {
	c    *coming
	ctx  context.Context
	at   int64
	once sync.Once
}

// Read implements io.Reader. The last byte is given only when the whole is known to
// be what it should: nobody gets all of something else.
func (f *following) Read(p []byte) (int, error) {
	for {
		f.c.mu.Lock()
		most, more, ended, err := min(f.c.have, f.c.size-1), f.c.more, f.c.ended, f.c.err
		f.c.mu.Unlock()
		if ended && err == nil {
			most = f.c.size
		}
		switch {
		case f.at < most:
			n, err := f.c.file.ReadAt(p[:min(int64(len(p)), most-f.at)], f.at)
			f.at += int64(n)
			if n > 0 {
				err = nil
			}
			return n, err
		case err != nil:
			return 0, err
		case ended:
			return 0, io.EOF
		}
		select {
		case <-more:
		case <-f.ctx.Done():
			return 0, f.ctx.Err()
		}
	}
}

// Seek implements io.Seeker.
func (f *following) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.c.size
	}
	if offset < 0 {
		return 0, errors.New("a place before the beginning of a blob")
	}
	f.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (f *following) Close() error {
	f.once.Do(f.c.leave)
	return nil
}

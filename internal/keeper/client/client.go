// Package client is the daemon's side of the keeper: it finds or starts one and
// speaks its protocol.
package client

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
)

// Client is one connection to a keeper, for any number of goroutines.
type Client struct {
	conn  *net.UnixConn
	hello wire.Greeting

	write sync.Mutex // one message at a time

	mu      sync.Mutex
	nextID  uint64
	pending map[uint64]chan answer // requests without an answer
	watches map[uint64]*watch
	lost    error // why the connection ended

	done chan struct{} // closed when the reading goroutine has ended
}

// answer is what came for one request.
type answer struct {
	wire.Response
	fds []int
}

// Connect connects to the keeper whose socket is at path. Unavailable says that
// nobody listens there.
func Connect(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixpacket", path)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "cannot reach the keeper: %w", err)
	}
	c := &Client{
		conn: conn.(*net.UnixConn), pending: map[uint64]chan answer{}, watches: map[uint64]*watch{}, done: make(chan struct{}),
	}
	go c.read()
	if err := c.greet(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) greet(ctx context.Context) error {
	a, err := c.call(ctx, wire.Request{Op: wire.Hello})
	if err != nil {
		return err
	}
	if a.Hello == nil {
		return errs.New(errs.Unavailable, "what listens at the keeper's socket is no keeper: remove it")
	}
	c.mu.Lock()
	c.hello = *a.Hello
	c.mu.Unlock()
	return nil
}

// Close ends the connection. The keeper and its processes go on, but for those
// that are tied to it.
func (c *Client) Close() error {
	err := c.conn.Close()
	<-c.done
	if errors.Is(err, net.ErrClosed) {
		return nil // it had ended before
	}
	return err
}

// Done is closed when the connection has ended, by Close or because the keeper did.
func (c *Client) Done() <-chan struct{} { return c.done }

// Greeting says which keeper answers.
func (c *Client) Greeting() wire.Greeting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hello
}

// read passes on what comes until the connection ends.
func (c *Client) read() {
	data := make([]byte, wire.MaxInline+2)
	oob := make([]byte, unix.CmsgSpace(4*wire.MaxFDs)+unix.CmsgSpace(64))
	for {
		n, oobn, flags, _, err := c.conn.ReadMsgUnix(data, oob)
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != nil {
			c.end(err)
			return
		}
		fds := wire.Descriptors(oob[:oobn])
		if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			wire.CloseAll(fds)
			c.end(errors.New("an answer was cut short"))
			return
		}
		var a answer
		if a.fds, err = wire.Decode(data[:n], fds, &a.Response); err != nil {
			c.end(err)
			return
		}
		c.deliver(a)
	}
}

// deliver gives an answer to who waits for it.
func (c *Client) deliver(a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.Watched {
		wire.CloseAll(a.fds)
		if w := c.watches[a.ID]; w != nil && a.Status != nil {
			w.push(*a.Status)
		}
		return
	}
	ch := c.pending[a.ID]
	delete(c.pending, a.ID)
	if ch == nil { // nobody waits any more
		wire.CloseAll(a.fds)
		return
	}
	ch <- a
}

// end tells everybody that there will be no more answers.
func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = errs.New(errs.Unavailable, "the connection to the keeper ended: %w", err)
	for id, ch := range c.pending {
		delete(c.pending, id)
		close(ch)
	}
	_ = c.conn.Close()
	close(c.done)
}

// call sends a request and waits for its answer. When ctx ends first, an answer
// that comes later is dropped and its descriptors closed.
func (c *Client) call(ctx context.Context, req wire.Request, files ...*os.File) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	ch := make(chan answer, 1)
	c.mu.Lock()
	if c.lost != nil {
		defer c.mu.Unlock()
		return answer{}, c.lost
	}
	if req.ID == 0 {
		c.nextID++
		req.ID = c.nextID
	}
	c.pending[req.ID] = ch
	c.mu.Unlock()
	if err := c.send(req, files); err != nil {
		c.forget(req.ID)
		return answer{}, err
	}
	select {
	case a, ok := <-ch:
		if !ok {
			return answer{}, c.reason()
		}
		if a.Error != nil {
			wire.CloseAll(a.fds)
			return answer{}, a.Error.Err()
		}
		return a, nil
	case <-ctx.Done():
		c.forget(req.ID)
		select {
		case a := <-ch: // it came just now
			wire.CloseAll(a.fds)
		default:
		}
		return answer{}, ctx.Err()
	}
}

func (c *Client) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

func (c *Client) send(req wire.Request, files []*os.File) error {
	if len(files) > wire.MaxFDs-1 {
		return errs.New(errs.Invalid, "a request to the keeper takes at most %d files, not %d", wire.MaxFDs-1, len(files))
	}
	data, memfd, err := wire.Encode(req)
	if err != nil {
		return err
	}
	var fds []int
	if memfd >= 0 {
		defer unix.Close(memfd)
		fds = append(fds, memfd)
	}
	for _, f := range files {
		if f == nil {
			return errs.New(errs.Invalid, "a file for the keeper is missing")
		}
		fd, err := rawFD(f)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	c.write.Lock()
	_, _, err = c.conn.WriteMsgUnix(data, oob, nil)
	c.write.Unlock()
	for _, f := range files {
		keepAlive(f)
	}
	if err != nil {
		return errs.New(errs.Unavailable, "cannot reach the keeper: %w", err)
	}
	return nil
}

// Create forks an init, which waits or goes on as it says. It returns once the
// init is ready, or has become the user's program, with its pid; a *wire.StepError in the error's chain tells what went wrong in it.
// The files are the program, the three standard streams where they are given,
// and those for the program; they stay the caller's.
func (c *Client) Create(ctx context.Context, create *task.Create, files ...*os.File) (task.Status, error) {
	if create != nil && create.Streams.Log.Path != "" && create.Streams.Log.Device == 0 {
		placed := *create
		placed.Streams.Log.Device = deviceOf(filepath.Dir(create.Streams.Log.Path))
		create = &placed
	}
	s, err := c.status(c.call(ctx, wire.Request{Op: wire.Create, Create: create}, files...))
	if err == nil && create != nil && create.Go && s.Phase == task.Waiting {
		return c.Go(ctx, create.Key) // an older keeper
	}
	return s, err
}

// deviceOf is where a folder lies; 0 for one that is missing, which is the keeper's
// to tell.
func deviceOf(dir string) uint64 {
	var st unix.Stat_t
	_ = unix.Stat(dir, &st)
	return st.Dev
}

// Go lets a created process go on and returns once it has become the user's
// program. CommandNotFound and CommandNotExecutable say that it could not.
func (c *Client) Go(ctx context.Context, k task.Key) (task.Status, error) {
	return c.status(c.call(ctx, wire.Request{Op: wire.Go, Key: &k}))
}

func (c *Client) status(a answer, err error) (task.Status, error) {
	if err != nil {
		return task.Status{}, err
	}
	wire.CloseAll(a.fds)
	if a.Status == nil {
		return task.Status{}, errs.New(errs.Internal, "the keeper answered without a status")
	}
	return *a.Status, nil
}

// Signal sends a signal. NotFound: the process has ended.
func (c *Client) Signal(ctx context.Context, k task.Key, sig int) error {
	return c.do(ctx, wire.Request{Op: wire.Signal, Key: &k, Signal: sig})
}

// Resize sets the terminal's size in characters.
func (c *Client) Resize(ctx context.Context, k task.Key, rows, cols uint16) error {
	return c.do(ctx, wire.Request{Op: wire.Resize, Key: &k, Rows: rows, Cols: cols})
}

// Stdin returns a descriptor that leads to the process's standard input, its
// pipe or terminal. The caller closes it. Conflict: it has none.
func (c *Client) Stdin(ctx context.Context, k task.Key) (*os.File, error) {
	files, err := c.files(ctx, wire.Request{Op: wire.Stdin, Key: &k})
	if err != nil {
		return nil, err
	}
	for _, f := range files[1:] {
		f.Close()
	}
	return files[0], nil
}

// CloseStdin closes the keeper's end of a standard input: it ends once the
// descriptors that Stdin gave are closed as well. A terminal's stays.
func (c *Client) CloseStdin(ctx context.Context, k task.Key) error {
	return c.do(ctx, wire.Request{Op: wire.CloseStdin, Key: &k})
}

// List tells what runs and what has ended unacknowledged.
func (c *Client) List(ctx context.Context) ([]task.Status, error) {
	a, err := c.call(ctx, wire.Request{Op: wire.List})
	wire.CloseAll(a.fds)
	return a.List, err
}

// Ack lets the keeper forget an exit. What it does not know is acknowledged already.
func (c *Client) Ack(ctx context.Context, k task.Key, generation uint64) error {
	return c.do(ctx, wire.Request{Op: wire.Ack, Key: &k, Generation: generation})
}

// Delete kills a process where it runs, and forgets it once it has ended.
func (c *Client) Delete(ctx context.Context, k task.Key) error {
	return c.do(ctx, wire.Request{Op: wire.Delete, Key: &k})
}

// Hold has the keeper keep descriptors under a name, in place of those it had.
func (c *Client) Hold(ctx context.Context, name string, files ...*os.File) error {
	_, err := c.call(ctx, wire.Request{Op: wire.Hold, Name: name}, files...)
	return err
}

// Take returns duplicates of what is held under a name. The caller closes them.
func (c *Client) Take(ctx context.Context, name string) ([]*os.File, error) {
	return c.files(ctx, wire.Request{Op: wire.Take, Name: name})
}

// Drop closes what is held under a name; nothing is fine.
func (c *Client) Drop(ctx context.Context, name string) error {
	return c.do(ctx, wire.Request{Op: wire.Drop, Name: name})
}

// Held are the names under which something is held.
func (c *Client) Held(ctx context.Context) ([]string, error) {
	a, err := c.call(ctx, wire.Request{Op: wire.Held})
	return a.Held, err
}

// Quit ends the keeper. Conflict: it still has processes.
func (c *Client) Quit(ctx context.Context) error {
	return c.do(ctx, wire.Request{Op: wire.Quit})
}

// Upgrade has the keeper become another program, args being its command line
// (the program's name first). Nothing is lost by it, and this connection stays.
func (c *Client) Upgrade(ctx context.Context, binary string, args ...string) error {
	f, err := os.Open(binary)
	if err != nil {
		return errs.New(errs.Invalid, "cannot replace the keeper: %w", err)
	}
	defer f.Close()
	if _, err := c.call(ctx, wire.Request{Op: wire.Upgrade, Args: args}, f); err != nil {
		return err
	}
	return c.greet(ctx)
}

func (c *Client) do(ctx context.Context, req wire.Request) error {
	a, err := c.call(ctx, req)
	wire.CloseAll(a.fds)
	return err
}

func (c *Client) files(ctx context.Context, req wire.Request) ([]*os.File, error) {
	a, err := c.call(ctx, req)
	if err != nil {
		return nil, err
	}
	if len(a.fds) == 0 {
		return nil, errs.New(errs.Internal, "the keeper answered without a descriptor")
	}
	files := make([]*os.File, len(a.fds))
	for i, fd := range a.fds {
		files[i] = os.NewFile(uintptr(fd), string(req.Op)+" "+req.Name)
	}
	return files, nil
}

package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/task"
	"lus/internal/store/logs"
)

// Attach joins the container's streams, also before it is started: then the
// output begins with the start. It ends with the run.
func (e *Engine) Attach(ctx context.Context, name string, o container.AttachOptions) (*container.Stream, error) {
	u, err := e.find(name)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	r, rec, cleaning := u.run, u.rec, u.cleaning
	r.attached.Add(1)
	u.mu.Unlock()
	if unlogged(rec.HostConfig) && cleaning != nil {
		<-cleaning // what the former run wrote goes first
	}
	left := sync.OnceFunc(r.attached.Done)
	s, err := e.attach(ctx, u, r, &rec, o, left)
	if err != nil {
		left()
	}
	return s, err
}

// attach makes the stream of one run; left is called when its output was read to
// the end, or is closed.
func (e *Engine) attach(ctx context.Context, u *unit, r *run, rec *container.Container, o container.AttachOptions, left func()) (s *container.Stream, err error) {
	switch rec.State.Status {
	case container.Paused:
		return nil, errs.New(errs.Conflict, "container %s is paused, unpause the container before attach", rec.ID)
	case container.Restarting:
		return nil, errs.New(errs.Conflict, "container %s is restarting, wait until the container is running", rec.ID)
	}
	if o.Logs && unlogged(rec.HostConfig) {
		return nil, notKept()
	}
	s = &container.Stream{Tty: rec.Config.Tty}
	if s.Out, err = e.attachOutput(ctx, u, r, o, left); err != nil {
		return nil, err
	}
	detached := make(chan struct{})
	var once sync.Once
	s.Left = func() { e.tellOf(u, "detach") }
	s.Detach = func() error {
		once.Do(func() { close(detached) })
		return s.Out.Close()
	}
	if o.Stdin && o.Stream && rec.Config.OpenStdin {
		s.In = &stdin{e: e, key: task.Key{Container: u.id}, run: r, once: rec.Config.StdinOnce, quit: detached}
	}
	e.tell(rec, "attach")
	return s, nil
}

// attachOutput follows the log from here to the end of the run.
func (e *Engine) attachOutput(ctx context.Context, u *unit, r *run, o container.AttachOptions, left func()) (container.LogReader, error) {
	if !o.Stdout && !o.Stderr {
		// Standard input alone: the output is silent until the end.
		left()
		c, cancel := context.WithCancel(ctx)
		return &silence{ctx: c, cancel: cancel, run: r}, nil
	}
	opt := logs.Options{Tail: 0, Stdout: o.Stdout, Stderr: o.Stderr}
	if o.Logs {
		opt.Tail = -1
	}
	if o.Stream {
		opt.Hub = e.hub
	}
	reader, err := e.open(ctx, u, opt)
	if err != nil {
		return nil, err
	}
	// Who has all of it may wait for more than that before closing.
	reader.ended, reader.done = left, func() { u.readers.Done(); left() }
	if o.Stream {
		reader.until(r.awaitEnd)
	}
	return reader, nil
}

// silence is the output of an attach that asked for none.
type silence struct {
	ctx    context.Context
	cancel context.CancelFunc
	run    *run
}

// Next implements container.LogReader.
func (s *silence) Next() (container.LogRecord, error) {
	select {
	case <-s.run.ended:
	case <-s.ctx.Done():
	}
	return container.LogRecord{}, io.EOF
}

// Close implements container.LogReader.
func (s *silence) Close() error {
	s.cancel()
	return nil
}

// stdin writes to a container's standard input once it runs.
type stdin struct {
	e    *Engine
	key  task.Key
	run  *run
	once bool // the first writer's end is the input's end
	quit <-chan struct{}

	mu   sync.Mutex
	file *os.File
}

// Write waits for the start, then writes.
func (s *stdin) Write(b []byte) (int, error) {
	f, err := s.open()
	if err != nil {
		return 0, err
	}
	n, err := f.Write(b)
	if err != nil {
		select {
		case <-s.run.ended:
			err = io.ErrClosedPipe
		default:
		}
	}
	return n, err
}

func (s *stdin) open() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		return s.file, nil
	}
	select {
	case <-s.run.started:
	case <-s.run.ended:
		return nil, io.ErrClosedPipe
	case <-s.quit:
		return nil, io.ErrClosedPipe
	}
	f, err := s.e.Runtime.Stdin(context.Background(), s.key)
	if err != nil {
		if errs.Is(err, errs.NotFound) {
			err = io.ErrClosedPipe
		}
		return nil, err
	}
	s.file = f
	return f, nil
}

// Close ends the input where it was opened for one client, and only leaves
// otherwise.
func (s *stdin) Close() error {
	if s.once {
		// The start must have happened for there to be an input to end.
		select {
		case <-s.run.started:
			if err := s.e.Runtime.CloseStdin(context.Background(), s.key); err != nil && !errs.Is(err, errs.NotFound) {
				return errors.Join(err, s.closeFile())
			}
		case <-s.run.ended:
		case <-s.quit:
		}
	}
	return s.closeFile()
}

func (s *stdin) closeFile() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// ResizeContainer sets the size of the container's terminal.
func (e *Engine) ResizeContainer(ctx context.Context, name string, rows, cols uint16) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	if rec := u.snapshot(); !rec.State.Running() {
		return errs.New(errs.Conflict, "container %s is not running", rec.ID)
	}
	if err := e.Runtime.Resize(ctx, task.Key{Container: u.id}, rows, cols); err != nil {
		return err
	}
	e.tellOf(u, "resize", "height", strconv.Itoa(int(rows)), "width", strconv.Itoa(int(cols)))
	return nil
}

package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/container"
	"lus/internal/model/task"
	"lus/internal/service/engine/internal/spec"
	"lus/internal/store/logs"
)

// execIO is the streams of one exec: pipes of ours, a terminal of the keeper's
// that we follow, or nothing.
type execIO struct {
	e       *Engine
	streams task.Streams
	given   [3]*os.File
	in      *os.File // our end; nil: none
	out     *pipes
	log     string // of a terminal
	reader  *reader
}

func (e *Engine) execStreams(x *execution, user spec.User, detach bool, size *[2]uint) (*execIO, error) {
	s := &execIO{e: e, streams: task.Streams{UID: int(user.UID), GID: int(user.GID)}}
	switch {
	case detach:
		s.streams.Kind = task.StreamNull
		return s, nil
	case x.cfg.Tty:
		return s, s.terminal(x, size)
	}
	s.streams.Kind = task.StreamGiven
	return s, s.pipes(x, int(user.UID), int(user.GID))
}

// terminal is written to a small log of its own, which is followed.
func (s *execIO) terminal(x *execution, size *[2]uint) error {
	s.streams.Kind, s.streams.Stdin = task.StreamTerminal, true
	if size != nil {
		s.streams.Rows, s.streams.Cols = uint16(min(size[0], 65535)), uint16(min(size[1], 65535))
	}
	s.log = s.e.paths(x.unit.id).dir + "/exec-" + ids.Short(x.id) + ".log"
	s.streams.Log = task.Log{Path: s.log, MaxSize: 4 << 20, MaxFiles: 2}
	l, err := logs.Open(s.log, logs.Options{Tail: -1, Hub: s.e.hub})
	if err != nil {
		return err
	}
	s.reader = &reader{log: l, done: func() { removeLog(s.log) }}
	s.reader.ctx, s.reader.cancel = context.WithCancel(context.Background())
	return nil
}

func removeLog(path string) {
	_ = os.Remove(path)
	_ = os.Remove(path + ".1")
}

func (s *execIO) pipes(x *execution, uid, gid int) (err error) {
	defer func() {
		if err != nil {
			s.closeGiven()
			s.abandon()
			err = errs.New(errs.Unavailable, "cannot make the exec's streams: %w", err)
		}
	}()
	if x.cfg.AttachStdin {
		if s.given[0], s.in, err = pipe(true); err != nil {
			return err
		}
	} else if s.given[0], err = os.Open(os.DevNull); err != nil {
		return err
	}
	s.out = newPipes()
	for i, wanted := range []bool{x.cfg.AttachStdout, x.cfg.AttachStderr} {
		if !wanted {
			if s.given[i+1], err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
				return err
			}
			continue
		}
		w, r, err := pipe(false)
		if err != nil {
			return err
		}
		s.given[i+1] = w
		s.out.ends = append(s.out.ends, end{file: r, stderr: i == 1})
		// The process may reopen /dev/stdout, also where it is not root.
		if err := w.Chown(uid, gid); err != nil {
			return err
		}
	}
	return s.given[0].Chown(uid, gid)
}

// pipe makes a pipe of which theirs is an end like any program expects: it
// blocks. os.Pipe's ends do not, and the mode goes with the descriptor.
func pipe(theyRead bool) (theirs, ours *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if !theyRead {
		fds[0], fds[1] = fds[1], fds[0]
	}
	if err := unix.SetNonblock(fds[1], true); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "exec"), os.NewFile(uintptr(fds[1]), "exec"), nil
}

// closeGiven closes the process's ends, which it has by now.
func (s *execIO) closeGiven() {
	for i, f := range s.given {
		if f != nil {
			f.Close()
			s.given[i] = nil
		}
	}
}

// abandon gives up the streams of an exec that did not start.
func (s *execIO) abandon() {
	if s.in != nil {
		s.in.Close()
	}
	if s.out != nil {
		for _, e := range s.out.ends {
			e.file.Close()
		}
	}
	if s.reader != nil {
		_ = s.reader.Close() // only lets go
	}
}

// stream joins the streams to one; nil for a detached exec.
func (s *execIO) stream(x *execution) *container.Stream {
	switch {
	case s.reader != nil:
		s.reader.until(func(ctx context.Context) {
			select {
			case <-x.ended:
			case <-ctx.Done():
			}
		})
		st := &container.Stream{Tty: true, Out: s.reader, Detach: s.reader.Close, Left: x.left(s.e)}
		if x.cfg.AttachStdin {
			st.In = &execStdin{e: s.e, key: x.key()}
		}
		return st
	case s.out != nil:
		s.out.start(x.ended)
		st := &container.Stream{Out: s.out, Detach: s.out.Close, Left: x.left(s.e)}
		if s.in != nil {
			st.In = s.in
		}
		return st
	}
	return nil
}

// left tells that the user of an exec left it by the detach keys.
func (x *execution) left(e *Engine) func() {
	return func() { e.tellOf(x.unit, "exec_detach", "execID", x.id) }
}

// execStdin writes to an exec's terminal; it is opened at the first write.
type execStdin struct {
	e    *Engine
	key  task.Key
	mu   sync.Mutex
	file *os.File
}

// Write implements io.Writer.
func (s *execStdin) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		f, err := s.e.Runtime.Stdin(context.Background(), s.key)
		if err != nil {
			return 0, io.ErrClosedPipe
		}
		s.file = f
	}
	return s.file.Write(b)
}

// Close implements io.Closer. A terminal has no half end: it stays.
func (s *execStdin) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// end is one of a process's output pipes.
type end struct {
	file   *os.File
	stderr bool
}

// pipes reads several pipes as one stream. It ends when the process has ended
// and what it wrote has been read, whoever else may hold the pipes open.
type pipes struct {
	ends   []end
	ch     chan container.LogRecord
	quit   chan struct{}
	once   sync.Once
	wg     sync.WaitGroup
	closed sync.WaitGroup
}

const pipeBuffer = 32 << 10

// lateOutput is how long the pipes may stay open beyond the process's end, in
// the hands of a child of its, before what is in them is all that is read.
const lateOutput = 100 * time.Millisecond

func newPipes() *pipes {
	return &pipes{ch: make(chan container.LogRecord), quit: make(chan struct{})}
}

func (p *pipes) start(ended <-chan struct{}) {
	read := make(chan struct{})
	for _, e := range p.ends {
		p.wg.Go(func() { p.read(e) })
	}
	p.closed.Go(func() {
		p.wg.Wait()
		close(read)
		select {
		case <-ended: // the end of the output says: the exit code is known
		case <-p.quit:
		}
		close(p.ch)
	})
	p.closed.Go(func() {
		select {
		case <-ended:
			for _, e := range p.ends {
				_ = e.file.SetReadDeadline(time.Now().Add(lateOutput)) // pipes have deadlines
			}
		case <-read:
		case <-p.quit:
		}
	})
}

func (p *pipes) read(e end) {
	defer e.file.Close()
	buf := make([]byte, pipeBuffer)
	for {
		n, err := e.file.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			n = drained(e.file, buf)
			if n > 0 {
				err = nil
			}
		}
		if n > 0 {
			rec := container.LogRecord{Time: time.Now(), Stderr: e.stderr, Data: append([]byte(nil), buf[:n]...)}
			select {
			case p.ch <- rec:
			case <-p.quit:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// drained reads what is in the pipe without waiting for more.
func drained(f *os.File, buf []byte) (n int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // fails only for a closed file, which is empty
		if got, err := unix.Read(int(fd), buf); err == nil {
			n = got
		}
	})
	return n
}

// Next implements container.LogReader.
func (p *pipes) Next() (container.LogRecord, error) {
	select {
	case rec, ok := <-p.ch:
		if !ok {
			return rec, io.EOF
		}
		return rec, nil
	case <-p.quit:
		return container.LogRecord{}, io.EOF
	}
}

// Close implements container.LogReader.
func (p *pipes) Close() error {
	p.once.Do(func() {
		close(p.quit)
		for _, e := range p.ends {
			_ = e.file.SetReadDeadline(time.Now()) // wakes the readers
		}
	})
	p.closed.Wait()
	return nil
}

package runtime_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	initproc "lus/internal/linux/init"
	"lus/internal/model/task"
)

// parent is the smallest keeper there can be: it forks, speaks the init's
// protocol, collects output and exit codes. It forgets nothing, so a second
// runtime on it is a daemon that came back.
type parent struct {
	t    testing.TB
	init int // the init's memfd, at a high number

	mu    sync.Mutex
	tasks map[task.Key]*child
}

type child struct {
	status task.Status
	out    bytes.Buffer
	conn   int
	stdin  *os.File
	ended  chan struct{}
	pid    int // the process that the init forked, or the init
}

func newParent(t testing.TB) *parent {
	t.Helper()
	f, err := initproc.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 700)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	return &parent{t: t, init: fd, tasks: map[task.Key]*child{}}
}

func (p *parent) Create(_ context.Context, c *task.Create, files ...*os.File) (task.Status, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return task.Status{}, err
	}
	ch := &child{conn: pair[0], ended: make(chan struct{})}
	program, files := files[0], files[1:]
	stdio, reader, closers, err := p.streams(c, files, ch)
	if err != nil {
		return task.Status{}, err
	}
	fds := slices.Concat(stdio, []uintptr{program.Fd(), uintptr(pair[1])})
	for _, x := range files[len(files)-c.Files:] {
		fds = append(fds, x.Fd())
	}
	pid, err := syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", p.init), []string{"lus-init"}, &syscall.ProcAttr{
		Files: fds, Sys: &syscall.SysProcAttr{Cloneflags: c.CloneFlags},
	})
	_ = unix.Close(pair[1])
	for _, x := range closers {
		_ = x.Close()
	}
	if err != nil {
		return task.Status{}, err
	}
	ch.pid = pid
	if err := ch.ready(); err != nil {
		_, _ = syscall.Wait4(ch.pid, nil, 0, nil)
		_ = unix.Close(ch.conn)
		return task.Status{}, err
	}
	ch.status = task.Status{Key: c.Key, Generation: c.Generation, Phase: task.Waiting, Pid: ch.pid, StartTime: startTime(p.t, ch.pid), Record: c.Record}
	p.mu.Lock()
	p.tasks[c.Key] = ch
	p.mu.Unlock()
	go p.wait(ch, reader)
	return ch.status, nil
}

func (p *parent) streams(c *task.Create, files []*os.File, ch *child) (fds []uintptr, reader *os.File, closers []*os.File, err error) {
	switch c.Streams.Kind {
	case task.StreamGiven:
		for _, x := range files[:3] {
			fds = append(fds, x.Fd())
		}
		return fds, nil, nil, nil
	case task.StreamTerminal:
		fd, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, nil, nil, err
		}
		master := os.NewFile(uintptr(fd), "ptmx")
		if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
			return nil, nil, nil, err
		}
		slave, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno != 0 {
			return nil, nil, nil, errno
		}
		if err := unix.IoctlSetWinsize(int(slave), unix.TIOCSWINSZ, &unix.Winsize{Row: c.Streams.Rows, Col: c.Streams.Cols}); err != nil {
			return nil, nil, nil, err
		}
		ch.stdin = master
		s := os.NewFile(slave, "slave")
		return []uintptr{s.Fd(), s.Fd(), s.Fd()}, master, []*os.File{s}, nil
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return nil, nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	return []uintptr{null.Fd(), w.Fd(), w.Fd()}, r, []*os.File{null, w}, nil
}

// ready reads the init's messages until its namespaces are there.
func (ch *child) ready() error {
	buf := make([]byte, 2048)
	for {
		n, err := unix.Read(ch.conn, buf)
		if err != nil || n == 0 {
			return fmt.Errorf("the init ended early: %w", err)
		}
		switch buf[0] {
		case 'R':
			return nil
		case 'P':
			first := ch.pid
			ch.pid = int(binary.LittleEndian.Uint32(buf[1:]))
			go func() { _, _ = syscall.Wait4(first, nil, 0, nil) }()
		case 'E':
			return stepError(buf[:n])
		}
	}
}

func stepError(msg []byte) error {
	step := &task.StepError{Errno: int(binary.LittleEndian.Uint32(msg[1:])), Step: string(msg[5:])}
	return errs.With(errs.Internal, step)
}

func (p *parent) wait(ch *child, reader *os.File) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if reader == nil {
			return
		}
		buf := make([]byte, 4096)
		for {
			n, err := reader.Read(buf)
			p.mu.Lock()
			ch.out.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				_ = reader.Close()
				return
			}
		}
	}()
	var ws syscall.WaitStatus
	_, err := syscall.Wait4(ch.pid, &ws, 0, nil)
	<-done
	p.mu.Lock()
	defer p.mu.Unlock()
	exit := &task.Exit{Code: ws.ExitStatus()}
	if err != nil {
		exit.Code = task.ExitUnknown
	} else if ws.Signaled() {
		exit.Signal = int(ws.Signal())
		exit.Code = 128 + exit.Signal
	}
	ch.status.Exit, ch.status.Phase, ch.status.Pid = exit, task.Ended, 0
	close(ch.ended)
}

func (p *parent) Go(_ context.Context, k task.Key) (task.Status, error) {
	ch := p.child(k)
	if ch == nil {
		return task.Status{}, errs.New(errs.NotFound, "no such process")
	}
	if err := unix.Send(ch.conn, []byte("G"), unix.MSG_NOSIGNAL); err != nil && err != unix.EPIPE {
		return task.Status{}, err
	}
	defer unix.Close(ch.conn)
	buf := make([]byte, 2048)
	for {
		n, err := unix.Read(ch.conn, buf)
		if n > 0 && buf[0] == 'E' {
			<-ch.ended
			return task.Status{}, stepError(buf[:n])
		}
		if n > 0 || err == unix.EINTR || err == unix.ECONNRESET { // of a word not taken: what was said comes next
			continue
		}
		if err != nil {
			return task.Status{}, err
		}
		return task.Status{Key: k, Phase: task.Running}, nil
	}
}

func (p *parent) child(k task.Key) *child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tasks[k]
}

func (p *parent) Signal(_ context.Context, k task.Key, sig int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.tasks[k]
	if ch == nil || ch.status.Pid == 0 {
		return errs.New(errs.NotFound, "no such process")
	}
	return syscall.Kill(ch.status.Pid, syscall.Signal(sig))
}

func (p *parent) Resize(_ context.Context, k task.Key, rows, cols uint16) error {
	return unix.IoctlSetWinsize(int(p.child(k).stdin.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
}

func (p *parent) Stdin(context.Context, task.Key) (*os.File, error) { panic("not asked for") }

func (p *parent) CloseStdin(context.Context, task.Key) error { panic("not asked for") }

func (p *parent) List(context.Context) ([]task.Status, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []task.Status
	for _, ch := range p.tasks {
		out = append(out, ch.status)
	}
	return out, nil
}

func (p *parent) Watch(context.Context, func(task.Status)) error { panic("not asked for") }

func (p *parent) Ack(context.Context, task.Key, uint64) error { return nil }

func (p *parent) Delete(_ context.Context, k task.Key) error {
	p.mu.Lock()
	ch := p.tasks[k]
	var pid int
	if ch != nil {
		pid = ch.status.Pid
	}
	delete(p.tasks, k)
	p.mu.Unlock()
	if ch == nil {
		return errs.New(errs.NotFound, "no such process")
	}
	if pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-ch.ended
	return nil
}

// output waits for the end and returns what was written and the code.
func (p *parent) output(k task.Key) (string, int) {
	ch := p.child(k)
	<-ch.ended
	p.mu.Lock()
	defer p.mu.Unlock()
	return ch.out.String(), ch.status.Exit.Code
}

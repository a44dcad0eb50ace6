package keeper

import (
	"errors"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
	"lus/internal/store/logs"
)

const (
	readSize   = 128 << 10 // read at once
	pipeSize   = 64 << 10  // a new pipe's capacity
	raisedSize = 1 << 20   // the capacity of a pipe that was found full
	// lastSize bounds what is drained when a process has ended and others go
	// on writing to its pipe.
	lastSize = 2 * raisedSize
)

// openStreams makes our ends of the standard streams and returns the child's:
// three, or one that is all three. given is a terminal's master that came with
// the request, or -1.
func (s *server) openStreams(p *proc, st *task.Streams, given int) (child []int, err error) {
	if st.Kind == task.StreamNull {
		null, err := openNull()
		return []int{null}, err
	}
	s.openSink(p, &st.Log)
	if st.Kind == task.StreamTerminal && st.Late {
		p.terminal = true
		null, err := openNull()
		return []int{null}, err
	}
	if st.Kind == task.StreamTerminal {
		slave, err := p.openTerminal(st, given)
		return []int{slave}, err
	}
	defer func() {
		if err != nil {
			wire.CloseAll(child)
		}
	}()
	stdin, err := p.openStdin(st)
	if err != nil {
		return nil, err
	}
	child = append(child, stdin)
	for i, stream := range []logs.Stream{logs.Stdout, logs.Stderr} {
		r, w, err := pipe(st.UID, st.GID)
		if err != nil {
			return child, err
		}
		p.outs[i] = output{fd: r, stream: byte(stream)}
		if err := unix.SetNonblock(r, true); err != nil {
			_ = unix.Close(w)
			return child, err
		}
		child = append(child, w)
	}
	return child, nil
}

// openSink gives a process its log, which its disk opens. Where output of a
// former life is on its way to the same log, the order is kept.
func (s *server) openSink(p *proc, l *task.Log) {
	for old := range s.late {
		if old.sink.log.Path() == l.Path {
			p.sink = old.sink
		}
	}
	if p.sink == nil {
		p.sink = &sink{disk: s.diskOf(l.Path, l.Device), log: logs.NewWriter(l.Path, l.MaxSize, l.MaxFiles), drop: l.Drop}
	}
	p.sink.users++
	s.opening[p] = struct{}{}
	p.sink.disk.put(job{sink: p.sink, what: openLog})
}

func (p *proc) openStdin(st *task.Streams) (int, error) {
	if !st.Stdin {
		return openNull()
	}
	r, w, err := pipe(st.UID, st.GID)
	if err != nil {
		return -1, err
	}
	if p.stdin, err = lift(w); err != nil {
		_ = unix.Close(r)
		return -1, err
	}
	return r, nil
}

func openNull() (int, error) {
	fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, errs.New(errs.Unavailable, "open /dev/null: %w", err)
	}
	return lift(fd)
}

// pipe makes a pipe that belongs to the container's user, who may open
// /dev/stdout by name. Both ends are lifted.
func pipe(uid, gid int) (r, w int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, errs.New(errs.Unavailable, "too many pipes: %w", err)
	}
	err = liftAll(p[:])
	if err == nil && (uid != 0 || gid != 0) {
		if cerr := unix.Fchown(p[0], uid, gid); cerr != nil {
			err = errs.New(errs.Internal, "give a pipe to user %d: %w", uid, cerr)
		}
	}
	if err != nil {
		wire.CloseAll(p[:])
		return -1, -1, err
	}
	return p[0], p[1], nil
}

// openMaster makes a terminal: a duplicate of the one given, or one of the
// host's devpts.
func openMaster(given int) (int, error) {
	if given < 0 {
		fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return -1, errs.New(errs.Unavailable, "open a terminal: %w", err)
		}
		return lift(fd)
	}
	fd, err := unix.FcntlInt(uintptr(given), unix.F_DUPFD_CLOEXEC, initSlot+1)
	if err != nil {
		return -1, errs.New(errs.Unavailable, "too many open descriptors in the keeper: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return -1, errs.New(errs.Internal, "prepare the terminal: %w", err)
	}
	return fd, nil
}

// openTerminal makes a terminal and returns the side that the process gets.
func (p *proc) openTerminal(st *task.Streams, given int) (int, error) {
	master, err := openMaster(given)
	if err != nil {
		return -1, err
	}
	p.terminal, p.outs[0] = true, output{fd: master, stream: byte(logs.Stdout), raised: true}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, errs.New(errs.Internal, "unlock the terminal: %w", err)
	}
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, errs.New(errs.Internal, "open the terminal's other side: %w", errno)
	}
	fd, err := lift(int(slave))
	if err != nil {
		return -1, err
	}
	if err = unix.Fchown(fd, st.UID, st.GID); err == nil && (st.Rows != 0 || st.Cols != 0) {
		err = setSize(master, st.Rows, st.Cols)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, errs.New(errs.Internal, "prepare the terminal: %w", err)
	}
	return fd, nil
}

// takeTerminal makes a terminal the process's that another runtime has made.
func (s *server) takeTerminal(p *proc, fds []int) {
	if len(fds) != 1 || !p.terminal || p.outs[0].fd >= 0 || p.sink == nil {
		wire.CloseAll(fds)
		return
	}
	fd, err := lift(fds[0])
	if err == nil {
		p.outs[0] = output{fd: fd, stream: byte(logs.Stdout), raised: true}
		if err = unix.SetNonblock(fd, true); err == nil {
			err = s.watchOutput(p, &p.outs[0])
		}
	}
	if err != nil {
		s.log.Warn("cannot watch a terminal", "process", keyName(p.Key), "error", err)
	}
}

func setSize(fd int, rows, cols uint16) error {
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		return errs.New(errs.Internal, "resize the terminal to %sx%s: %w", strconv.Itoa(int(rows)), strconv.Itoa(int(cols)), err)
	}
	return nil
}

func (s *server) watchOutput(p *proc, o *output) error {
	if _, waits := s.blocked[p]; o.fd < 0 || waits {
		return nil
	}
	return s.loop.addOutput(o.fd, func(uint32) { s.drain(p, o, lastSize/2) })
}

// drain moves what a process has written to its log, at most about limit bytes
// and no more than there is room for.
func (s *server) drain(p *proc, o *output, limit int) {
	for moved := 0; moved < limit && o.fd >= 0; {
		room, drop := p.sink.room()
		if !room {
			s.block(p)
			return
		}
		n, err := unix.Read(o.fd, s.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil || n == 0: // a terminal's end is EIO
			s.loop.close(&o.fd)
			return
		}
		moved += n
		s.keep(p, o, n, drop)
		if n >= pipeSize && !o.raised {
			o.raised = true
			_, _ = unix.FcntlInt(uintptr(o.fd), unix.F_SETPIPE_SZ, raisedSize)
		}
		if n < len(s.buf) && n < pipeSize {
			return // empty now; if not, the loop says so
		}
	}
}

// keep stores what was read, or drops it where the disk does not take it and
// the process must not wait.
func (s *server) keep(p *proc, o *output, n int, drop bool) {
	if drop {
		p.sink.lost += int64(n)
		return
	}
	s.store(p, o, n)
}

// drainLast moves what is left once the process has ended, and reports whether
// that was all. Others may hold its pipes and write on: they must not delay the
// news of the end.
func (s *server) drainLast(p *proc) bool {
	for i := range p.outs {
		o := &p.outs[i]
		for moved := 0; moved < lastSize && o.fd >= 0; {
			room, drop := p.sink.room()
			if !room {
				s.block(p) // the rest waits in its pipe
				return false
			}
			n, err := unix.Read(o.fd, s.buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n == 0 {
				if !errors.Is(err, unix.EAGAIN) {
					s.loop.close(&o.fd)
				}
				break
			}
			moved += n
			s.keep(p, o, n, drop)
		}
	}
	return true
}

// siginfo is the head of the kernel's siginfo_t as waitid fills it.
type siginfo struct {
	signo, errno, code, _ int32
	pid                   int32
}

// peek returns a child that has ended, without reaping it; zero for none.
func peek() int {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil); err != nil {
		return 0
	}
	return int((*siginfo)(unsafe.Pointer(&info)).pid)
}

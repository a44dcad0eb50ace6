package keeper

import (
	"errors"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
)

// proc is one process: the init first, then what it becomes.
type proc struct {
	task.Status
	tied       uint64 // the connection it dies with; zero for none
	cgroupKill string
	oom        string
	oomBefore  uint64 // kills counted before it began

	pidfd    int
	status   int // our end of the status socket; -1 once closed
	stdin    int // write end of the pipe; -1 for none
	terminal bool
	outs     [2]output
	sink     *sink
	exit     *task.Exit // how it ended, while its last output is on its way
	drained  bool       // all of that was read, and is with what was given to its log, ...
	last     int        // ... the last of it by this number
	logErr   error      // why its log could not be opened
	warned   bool       // that its log takes nothing

	unborn  bool // it may yet name another process as the one
	ready   bool // 'R' came
	goes    bool // 'G' is sent without being asked for, once its log is open
	told    bool // 'G' was sent
	failure *wire.StepError
	// Who waits for what. An answer to Create or Go comes at 'R' or at the
	// exec, an answer to Delete at the end.
	creators, starters, deleters []reply
	// doomed: somebody asked for its deletion, and may be gone by its end.
	doomed bool
	// killed: whom the init has forked, and we have not heard of, is to die too.
	killed bool
}

// output is one pipe, or the terminal, that the process writes to.
type output struct {
	fd     int
	stream byte
	raised bool // the pipe was made bigger
}

func (p *proc) signal(sig unix.Signal) error {
	if p.Phase == task.Ended || p.exit != nil {
		return errs.New(errs.NotFound, "%s has ended", keyName(p.Key))
	}
	p.killed = p.killed || sig == unix.SIGKILL
	err := unix.PidfdSendSignal(p.pidfd, sig, nil, 0)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ESRCH):
		return errs.New(errs.NotFound, "%s has ended", keyName(p.Key))
	case errors.Is(err, unix.EINVAL):
		return errs.New(errs.Invalid, "there is no signal %d", int(sig))
	default:
		return errs.New(errs.Internal, "signal %d to %s: %w", int(sig), keyName(p.Key), err)
	}
}

func (p *proc) kill() {
	p.killed = true
	if p.Phase != task.Ended {
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
	}
}

func (p *proc) resize(rows, cols uint16) error {
	if !p.terminal || p.outs[0].fd < 0 {
		return errs.New(errs.Conflict, "%s has no terminal", keyName(p.Key))
	}
	return setSize(p.outs[0].fd, rows, cols)
}

// dupStdin returns a descriptor that leads to the process's standard input.
func (p *proc) dupStdin() (int, error) {
	fd := p.stdin
	if p.terminal {
		fd = p.outs[0].fd
	}
	if fd < 0 {
		return -1, errs.New(errs.Conflict, "%s has no standard input to write to", keyName(p.Key))
	}
	return dup(fd)
}

func (p *proc) closeStdin() {
	if p.stdin >= 0 {
		_ = unix.Close(p.stdin)
		p.stdin = -1
	}
}

func (p *proc) forgetConn(id uint64) {
	gone := func(rs []reply) []reply {
		kept := rs[:0]
		for _, r := range rs {
			if r.Conn != id {
				kept = append(kept, r)
			}
		}
		return kept
	}
	p.creators, p.starters, p.deleters = gone(p.creators), gone(p.starters), gone(p.deleters)
}

// letGo tells the init to become the user's program, and answers once it has.
func (s *server) letGo(to reply, p *proc) {
	switch {
	case p.failure != nil || (p.Phase == task.Ended && p.Started.IsZero()):
		s.fail(to, p.failed())
	case p.Phase != task.Waiting:
		s.answerStatus(to, p)
	default:
		p.starters = append(p.starters, to)
		if !p.told {
			p.told = true
			_ = unix.Sendto(p.status, []byte{'G'}, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
		}
	}
}

func (s *server) answerStatus(to reply, p *proc) {
	status := p.Status
	s.answer(to, wire.Response{Status: &status})
}

// failed is why the process never came to its exec.
func (p *proc) failed() error {
	f := p.failure
	if p.logErr != nil {
		return p.logErr
	}
	if f == nil {
		return errs.New(errs.Internal, "%s ended before its program began%s", keyName(p.Key), exitText(p.Exit))
	}
	kind := errs.Internal
	if strings.HasPrefix(f.Step, "exec ") {
		switch unix.Errno(f.Errno) {
		case unix.ENOENT:
			kind = errs.CommandNotFound
		case unix.EACCES, unix.EPERM, unix.ENOEXEC, unix.EISDIR, unix.ENOTDIR, unix.ETXTBSY, unix.ELOOP:
			kind = errs.CommandNotExecutable
		}
	}
	return &errs.Error{Kind: kind, Msg: f.Error(), Err: f}
}

func exitText(e *task.Exit) string {
	switch {
	case e == nil:
		return ""
	case e.Step != "":
		return ": " + e.Step
	case e.Signal != 0:
		return ": killed by signal " + unix.SignalName(unix.Signal(e.Signal))
	default:
		return ""
	}
}

// statusReady takes what the init has to say. An end is believed the second
// time: the kernel looks for a message first and whether the other side is
// closed afterwards, so that the first end can hide what was said in between,
// which is then the reason of a failure.
func (s *server) statusReady(p *proc) { s.readStatus(p, unix.Recvmsg) }

// readStatus is statusReady with the call that receives, unix.Recvmsg.
func (s *server) readStatus(p *proc, receive func(fd int, p, oob []byte, flags int) (n, oobn, recvflags int, from unix.Sockaddr, err error)) {
	var buf [1100]byte
	var oob [64]byte // room for a few descriptors
	ended := false
	for p.status >= 0 {
		n, oobn, _, _, err := receive(p.status, buf[:], oob[:], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECONNRESET): // told once of a word it did not take; what it said comes next
		case errors.Is(err, unix.EAGAIN):
			return
		case err == nil && n == 0 && !ended:
			ended = true
		case err != nil || n == 0:
			s.statusClosed(p)
		default:
			s.statusMessage(p, buf[:n], wire.Descriptors(oob[:oobn]))
		}
	}
}

func (s *server) statusMessage(p *proc, b []byte, fds []int) {
	if b[0] == 'T' {
		s.takeTerminal(p, fds)
		return
	}
	wire.CloseAll(fds)
	switch {
	case b[0] == 'R':
		s.born(p)
		p.ready = true
		s.answerReady(p)
	case b[0] == 'P' && len(b) == 5:
		s.adopt(p, int(int32(le32(b[1:]))))
	case b[0] == 'E' && len(b) >= 5 && p.failure == nil:
		p.failure = &wire.StepError{Errno: int(int32(le32(b[1:]))), Step: string(b[5:])}
	}
}

// answerReady answers who waits for the init to be ready, and its log to be open.
func (s *server) answerReady(p *proc) {
	if _, opening := s.opening[p]; opening || p.logErr != nil || !p.ready {
		return
	}
	creators := p.creators
	p.creators = nil
	for _, to := range creators {
		if p.goes {
			s.letGo(to, p)
		} else {
			s.answerStatus(to, p)
		}
	}
}

// statusClosed learns that the exec happened, or that nobody is left to do it;
// the latter is told by the end of the process.
func (s *server) statusClosed(p *proc) {
	s.born(p)
	s.loop.close(&p.status)
	if p.failure != nil || !p.told || !p.ready || p.Phase != task.Waiting {
		return
	}
	p.Phase, p.Started = task.Running, time.Now().UTC()
	for _, to := range p.starters {
		s.answerStatus(to, p)
	}
	p.starters = nil
}

// born counts down those that may yet name another process.
func (s *server) born(p *proc) {
	if !p.unborn {
		return
	}
	p.unborn = false
	if s.unborn--; s.unborn == 0 {
		s.strangers.forget()
	}
}

// adopt takes the process that the init forked for the one; the init itself is
// reaped like a stranger.
func (s *server) adopt(p *proc, pid int) {
	if pid <= 0 || p.Phase != task.Waiting || s.pids[pid] != nil {
		return
	}
	delete(s.pids, p.Pid)
	s.loop.close(&p.pidfd)
	p.Pid = pid
	// Nothing holds it back: it may have been the user's program, and have ended,
	// before the one that forked it has said that it is ready.
	p.ready = p.ready || p.goes
	if ws, dead := s.strangers.take(pid); dead {
		s.finish(p, ws)
		return
	}
	s.pids[pid] = p
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		s.log.Warn("cannot watch a process", "pid", pid, "error", err)
		s.reapDue = true
		return
	}
	p.pidfd = fd
	p.StartTime, _ = startTime(pid)
	s.recordPid(p)
	if err := s.watchPid(p); err != nil {
		s.log.Warn("cannot watch a process", "pid", pid, "error", err)
	}
	if p.killed {
		p.kill()
	}
}

func (s *server) watchPid(p *proc) error {
	return s.loop.add(p.pidfd, unix.EPOLLIN, func(uint32) { s.reapDue = true })
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

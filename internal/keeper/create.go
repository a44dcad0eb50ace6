package keeper

import (
	"bytes"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
)

// namespaces are the flags that a process may be forked with. A user namespace
// is joined by the program instead: its mappings are written from outside.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// create forks an init and answers when it is ready, or has failed.
func (s *server) create(to reply, c *task.Create, fds []int) {
	if err := checkCreate(c, fds); err != nil {
		wire.CloseAll(fds)
		s.fail(to, err)
		return
	}
	if p := s.procs[c.Key]; p != nil {
		wire.CloseAll(fds)
		s.createAgain(to, p, c)
		return
	}
	p, err := s.fork(to, c, fds)
	wire.CloseAll(fds)
	if err != nil {
		s.fail(to, err)
		return
	}
	if p.goes = c.Go; p.goes && !s.isOpening(p) {
		s.letGo(to, p)
		return
	}
	p.creators = append(p.creators, to)
}

// createAgain answers who asks for what exists with what exists.
func (s *server) createAgain(to reply, p *proc, c *task.Create) {
	switch {
	case p.Generation != c.Generation && p.Phase == task.Ended:
		s.fail(to, errs.New(errs.Conflict, "the end of %s (generation %d) has not been acknowledged", keyName(p.Key), p.Generation))
	case p.Generation != c.Generation:
		s.fail(to, errs.New(errs.Conflict, "%s exists with generation %d, not %d", keyName(p.Key), p.Generation, c.Generation))
	case p.Phase == task.Waiting && (!p.ready || s.isOpening(p)):
		p.creators = append(p.creators, to)
	case p.Phase == task.Ended && p.Started.IsZero():
		s.fail(to, p.failed())
	case c.Go:
		s.letGo(to, p)
	default:
		s.answerStatus(to, p)
	}
}

func (s *server) isOpening(p *proc) bool {
	_, opening := s.opening[p]
	return opening
}

func checkCreate(c *task.Create, fds []int) error {
	if c == nil {
		return errs.New(errs.Invalid, "create says nothing about what to create")
	}
	if !validID(c.Container) || (c.Exec != "" && !validID(c.Exec)) {
		return errs.New(errs.Invalid, "an id has 1 to 100 letters, digits, dots, dashes and underscores, unlike %q %q", c.Container, c.Exec)
	}
	if c.CloneFlags&^uintptr(namespaces) != 0 {
		return errs.New(errs.Invalid, "the keeper does not fork with the flags %#x", c.CloneFlags)
	}
	if c.Files < 0 || c.Files > wire.MaxFiles {
		return errs.New(errs.Invalid, "the keeper passes on at most %d files, not %d", wire.MaxFiles, c.Files)
	}
	for _, path := range []string{c.CgroupKill, c.OOM} {
		if path != "" && !strings.HasPrefix(path, "/sys/fs/cgroup/") {
			return errs.New(errs.Invalid, "%q is not in a cgroup", path)
		}
	}
	want := 1 + c.Files
	switch c.Streams.Kind {
	case task.StreamGiven:
		want += 3
	case task.StreamNull:
	case task.StreamLog, task.StreamTerminal:
		if c.Streams.Master {
			want++
		}
		if !strings.HasPrefix(c.Streams.Log.Path, "/") {
			return errs.New(errs.Invalid, "the log needs an absolute path, not %q", c.Streams.Log.Path)
		}
	default:
		return errs.New(errs.Invalid, "the keeper does not know streams of kind %q", c.Streams.Kind)
	}
	return need(fds, want)
}

func validID(id string) bool {
	if id == "" || len(id) > 100 {
		return false
	}
	for _, r := range id {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_' {
			return false
		}
	}
	return true
}

// keyName is how people and file names call a process.
func keyName(k task.Key) string {
	if k.Exec == "" {
		return k.Container
	}
	return k.Container + "@" + k.Exec
}

// fork makes streams and record, forks, and begins to watch.
func (s *server) fork(to reply, c *task.Create, fds []int) (p *proc, err error) {
	p = &proc{
		Status:     task.Status{Key: c.Key, Generation: c.Generation, Phase: task.Waiting, Record: c.Record},
		cgroupKill: c.CgroupKill, oom: c.OOM, oomBefore: oomKills(c.OOM),
		pidfd: -1, status: -1, stdin: -1, outs: [2]output{{fd: -1}, {fd: -1}},
	}
	if c.Tied {
		p.tied = to.Conn
	}
	var child []int // what the child has as 0, 1, 2, ...
	var ours []int  // of those, what is closed after the fork
	defer func() {
		wire.CloseAll(ours)
		if err != nil {
			s.release(p)
		}
	}()
	if err := liftAll(fds); err != nil {
		return nil, err
	}
	rest, master := fds, -1
	if c.Streams.Kind == task.StreamTerminal && c.Streams.Master {
		master, rest = fds[1], append([]int{fds[0]}, fds[2:]...)
	}
	if c.Streams.Kind == task.StreamGiven {
		child, rest = append(child, fds[1:4]...), append([]int{fds[0]}, fds[4:]...)
	} else {
		if child, err = s.openStreams(p, &c.Streams, master); err != nil {
			return nil, err
		}
		ours = append(ours, child...)
		if len(child) == 1 { // one terminal for all three
			child = []int{child[0], child[0], child[0]}
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "too many open descriptors in the keeper: %w", err)
	}
	p.status = pair[0]
	theirs, err := lift(pair[1])
	if err != nil {
		return nil, err
	}
	ours = append(ours, theirs)
	child = append(append(child, rest[0], theirs), rest[1:]...)
	if err := s.start(p, c.CloneFlags, child); err != nil {
		return nil, err
	}
	return p, nil
}

// start writes the record, forks and registers the process.
func (s *server) start(p *proc, flags uintptr, child []int) error {
	if err := s.record(p); err != nil {
		return err
	}
	files := make([]uintptr, len(child))
	for i, fd := range child {
		files[i] = uintptr(fd)
	}
	pidfd := -1
	pid, err := syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(initSlot), []string{"lus-init"}, &syscall.ProcAttr{
		Dir: "/", Files: files, Sys: &syscall.SysProcAttr{Cloneflags: flags, PidFD: &pidfd},
	})
	if err != nil {
		return errs.New(errs.Internal, "fork for %s: %w", keyName(p.Key), err)
	}
	p.Pid, p.pidfd = pid, pidfd
	if pidfd < 0 {
		if p.pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
			_ = unix.Kill(pid, unix.SIGKILL)
			return errs.New(errs.Unavailable, "watch %s: %w", keyName(p.Key), err)
		}
	}
	p.StartTime, _ = startTime(pid)
	s.recordPid(p)
	if err := s.register(p); err != nil {
		p.kill()
		return err
	}
	return nil
}

// register makes the process known to the loop.
func (s *server) register(p *proc) error {
	if err := s.watchPid(p); err != nil {
		return err
	}
	if p.status >= 0 {
		if err := s.loop.add(p.status, unix.EPOLLIN, func(uint32) { s.statusReady(p) }); err != nil {
			return err
		}
	}
	for i := range p.outs {
		if err := s.watchOutput(p, &p.outs[i]); err != nil {
			return err
		}
	}
	s.procs[p.Key], s.pids[p.Pid] = p, p
	if p.status >= 0 && !p.ready {
		p.unborn = true
		s.unborn++
	}
	return nil
}

// startTime is field 22 of /proc/PID/stat.
func startTime(pid int) (uint64, bool) {
	b, err := readKernel("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// The second field is a name in parentheses that may hold anything.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(fields[19]), 10, 64)
	return n, err == nil
}

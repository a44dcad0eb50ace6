package keeper

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/model/task"
)

// reap takes leave of every child that has ended: ours, the inits that named
// another process, and orphans that came to us as their subreaper.
func (s *server) reap() {
	for {
		pid := peek()
		if pid == 0 {
			return
		}
		if p := s.pids[pid]; p != nil {
			s.statusReady(p) // it may have named another before it ended
		}
		var ws unix.WaitStatus
		if _, err := unix.Wait4(pid, &ws, unix.WALL, nil); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		switch p := s.pids[pid]; {
		case p != nil:
			s.finish(p, ws)
		case s.unborn > 0:
			s.strangers.note(pid, ws, time.Now())
		}
	}
}

// finish makes the end of a process known, after all that it wrote and all that
// hung on it is dealt with.
func (s *server) finish(p *proc, ws unix.WaitStatus) {
	s.statusReady(p)
	delete(s.pids, p.Pid)
	if p.cgroupKill != "" {
		killCgroup(p.cgroupKill)
	}
	drained := s.drainLast(p)
	s.born(p)
	exit := &task.Exit{Code: ws.ExitStatus(), At: time.Now().UTC()}
	if ws.Signaled() {
		exit.Signal = int(ws.Signal())
		exit.Code = 128 + exit.Signal
	}
	exit.OOM = p.oom != "" && oomKills(p.oom) > p.oomBefore
	if p.failure != nil {
		exit.Errno, exit.Step = p.failure.Errno, p.failure.Step
	} else if p.told && p.ready && p.Started.IsZero() {
		p.Started = exit.At // its program began and ended between two looks
	}
	p.exit = exit
	s.loop.close(&p.pidfd)
	s.loop.close(&p.status)
	p.closeStdin()
	s.lastNotice(p)
	if drained {
		p.noteDrained()
	}
	if p.sink == nil || s.settled(p) {
		s.depart(p)
		return
	}
	s.leaving[p] = time.Now()
	s.retrySoon()
}

// depart tells of an end: whoever reads the log up to there has it all, unless
// the disk is full or slow.
func (s *server) depart(p *proc) {
	delete(s.leaving, p)
	delete(s.opening, p)
	p.Pid, p.Phase, p.Exit, p.exit = 0, task.Ended, p.exit, nil
	s.recordExit(p)
	s.announce(p)
}

// announce answers who waited for the process and tells the watchers.
func (s *server) announce(p *proc) {
	for _, to := range append(p.creators, p.starters...) {
		if p.Started.IsZero() {
			s.fail(to, p.failed())
		} else {
			s.answerStatus(to, p)
		}
	}
	deleters := p.deleters
	p.creators, p.starters, p.deleters = nil, nil, nil
	for _, c := range s.conns {
		if c.watch != 0 {
			s.tell(c, p)
		}
	}
	if p.doomed {
		s.forget(p)
	}
	for _, to := range deleters {
		s.conclude(to, nil)
	}
}

// forget drops a process that has ended and its record. Output that the disk
// has not taken yet is kept.
func (s *server) forget(p *proc) {
	delete(s.procs, p.Key)
	s.removeRecord(p)
	_, blocked := s.blocked[p]
	if p.sink != nil && (blocked || !p.sink.idle()) {
		s.late[p] = struct{}{}
		s.retrySoon()
		return
	}
	s.release(p)
}

// release closes everything a process has with us.
func (s *server) release(p *proc) {
	s.born(p)
	s.loop.close(&p.status)
	s.loop.close(&p.pidfd)
	p.closeStdin()
	for i := range p.outs {
		s.loop.close(&p.outs[i].fd)
	}
	delete(s.opening, p)
	if p.sink != nil {
		s.closeSink(p.sink)
	}
	if p.Pid == 0 || s.pids[p.Pid] != p {
		s.removeRecord(p)
	}
}

// oomKills reads how many processes of a cgroup the kernel has killed for
// memory: "oom_kill N" in memory.events (v2) and in memory.oom_control (v1).
func oomKills(file string) uint64 {
	if file == "" {
		return 0
	}
	b, err := readKernel(file)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 64)
			return n
		}
	}
	return 0
}

// readKernel reads a short file of the kernel's (/proc, cgroups), which takes half as
// long as os.ReadFile: that has the runtime look whether the file can be waited for.
func readKernel(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	return b[:max(n, 0)], err
}

// killCgroup kills all members of a cgroup. v2 has a file for that; elsewhere
// it goes on until nobody is left, or for as long as forking could keep up.
func killCgroup(dir string) {
	if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	state := filepath.Join(dir, "freezer.state")
	frozen := os.WriteFile(state, []byte("FROZEN"), 0) == nil
	for range 32 {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil || len(b) == 0 {
			break
		}
		for field := range bytes.FieldsSeq(b) {
			if pid, err := strconv.Atoi(string(field)); err == nil && pid > 1 && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if frozen {
			break
		}
	}
	if frozen {
		_ = os.WriteFile(state, []byte("THAWED"), 0)
	}
}

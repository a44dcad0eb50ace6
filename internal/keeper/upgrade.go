package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
)

// rehearsalTime is how long the next program may take to read the state, which
// is a moment, but for a busy machine; settleTime is how long disks may take to
// come to rest. All stand still meanwhile.
const (
	rehearsalTime = 20 * time.Second
	settleTime    = 5 * time.Second
)

// upgrade is a replacement that is due when the loop's round is over.
type upgrade struct {
	to      reply
	program int
	args    []string
}

// askUpgrade notes that the program is to be replaced by the one whose
// descriptor came. The answer is given by the new program, or by this one when
// it could not.
func (s *server) askUpgrade(to reply, args []string, fds []int) {
	err := need(fds, 1)
	if err == nil && (len(args) == 0 || len(args) > 32) {
		err = errs.New(errs.Invalid, "upgrade needs the new program's arguments")
	}
	if err == nil && s.upgrade != nil {
		err = errs.New(errs.Conflict, "the keeper is being replaced already")
	}
	if err == nil {
		err = liftAll(fds)
	}
	if err != nil {
		wire.CloseAll(fds)
		s.fail(to, err)
		return
	}
	s.upgrade = &upgrade{to: to, program: fds[0], args: args}
}

// replace becomes the new program. It returns only when that failed, with
// everything as it was.
func (s *server) replace() {
	u := s.upgrade
	s.upgrade = nil
	err := s.exec(u)
	_ = unix.Close(u.program)
	s.log.Warn("the keeper stays the program it is", "error", err)
	s.fail(u.to, errs.New(errs.KindOf(err), "the keeper was not replaced: %w", err))
}

func (s *server) exec(u *upgrade) error {
	if err := s.settleDisks(); err != nil {
		return err
	}
	st, fds := s.snapshot(u)
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	memfd, err := unix.MemfdCreate("lus-keeper-state", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(memfd)
	for len(b) > 0 {
		n, err := unix.Write(memfd, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	program := "/proc/self/fd/" + strconv.Itoa(u.program)
	args := append([]string{}, u.args...)
	if err := s.rehearse(program, args, memfd); err != nil {
		return err
	}
	// The init's place stays taken, so that the next program puts nothing else
	// there before it puts its own.
	fds = append(fds, memfd, initSlot)
	inherit(fds, true)
	err = syscall.Exec(program, append(args, "--resume", strconv.Itoa(memfd)), Environment())
	inherit(fds, false)
	return fmt.Errorf("exec: %w", err)
}

// settleDisks brings the disks to rest, so that nothing is in a goroutine's
// hands when all of them end.
func (s *server) settleDisks() error {
	// What waits in a pipe comes into a queue only once that is empty: again,
	// until nobody who has ended waits for more than a full disk.
	for end := time.Now().Add(settleTime); ; {
		if err := s.restDisks(); err != nil {
			return err
		}
		s.lookAtDisks()
		if len(s.leaving) == 0 || time.Now().After(end) {
			break
		}
	}
	for p := range s.leaving {
		s.depart(p)
	}
	if err := s.restDisks(); err != nil { // what these have asked for
		return err
	}
	if len(s.late) > 0 {
		return errs.New(errs.Unavailable, "output of processes that have ended is not written yet: their disk is full")
	}
	return nil
}

// restDisks waits until no disk is at anything.
func (s *server) restDisks() error {
	for _, d := range s.disks {
		if err := d.settle(settleTime); err != nil {
			return err
		}
	}
	return nil
}

// rehearse lets the new program read the state before it is too late to find
// out that it cannot.
func (s *server) rehearse(program string, args []string, memfd int) error {
	pidfd := -1
	pid, err := syscall.ForkExec(program, append(args, "--check", "3"), &syscall.ProcAttr{
		Dir: "/", Env: Environment(), Files: []uintptr{0, 1, 2, uintptr(memfd)}, Sys: &syscall.SysProcAttr{PidFD: &pidfd},
	})
	if err != nil {
		return errs.New(errs.Invalid, "it cannot be run: %w", err)
	}
	awaitEnd(pidfd, rehearsalTime)
	_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
	_ = unix.Close(pidfd)
	var ws unix.WaitStatus
	for {
		if _, err = unix.Wait4(pid, &ws, 0, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil || !ws.Exited() || ws.ExitStatus() != 0 {
		return errs.New(errs.Unsupported, "it does not understand this keeper's state")
	}
	return nil
}

// Check reports whether this program can take over the state in a memfd.
func Check(fd int) error {
	_, err := readState(fd)
	return err
}

// Environment is the environment of a keeper: nothing of whoever started it.
func Environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
}

// inherit says of descriptors whether they stay open across an exec.
func inherit(fds []int, yes bool) {
	flags := unix.FD_CLOEXEC
	if yes {
		flags = 0
	}
	for _, fd := range fds {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags)
	}
}

// resume takes over from the program that was this keeper before.
func (s *server) resume(memfd int) error {
	st, err := readState(memfd)
	if err != nil {
		return err
	}
	_ = unix.Close(memfd)
	s.generation, s.listen, s.lock, s.nextConn = st.Generation, st.Listen, st.Lock, st.NextConn
	inherit([]int{s.listen, s.lock}, false)
	for name, fds := range st.Held {
		inherit(fds, false)
		s.held[name] = fds
	}
	for pid, ws := range st.Strangers {
		s.strangers.note(pid, unix.WaitStatus(ws), time.Now())
	}
	if err := s.loop.add(s.listen, unix.EPOLLIN, s.accept); err != nil {
		return err
	}
	for i := range st.Procs {
		if err := s.resumeProc(s.restore(&st.Procs[i])); err != nil {
			return err
		}
	}
	for _, cs := range st.Conns {
		c := &conn{id: cs.ID, fd: cs.FD, watch: cs.Watch}
		inherit([]int{c.fd}, false)
		for _, f := range cs.Queue {
			inherit(f.FDs, false)
			c.queue = append(c.queue, frame{data: f.Data, fds: f.FDs})
			c.bytes += len(f.Data)
		}
		s.addConn(c)
		s.flush(c)
	}
	s.reapDue = true
	s.answer(st.Upgrade, wire.Response{})
	return nil
}

func (s *server) resumeProc(p *proc) error {
	for _, fd := range []int{p.pidfd, p.status, p.stdin, p.outs[0].fd, p.outs[1].fd} {
		if fd >= 0 {
			inherit([]int{fd}, false)
		}
	}
	if p.Phase != task.Ended {
		return s.register(p)
	}
	s.procs[p.Key] = p
	for i := range p.outs {
		if err := s.watchOutput(p, &p.outs[i]); err != nil {
			return err
		}
	}
	return nil
}

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
	"lus/internal/store/logs"
)

// rehearsalTime is how long the next program may take to read the state.
const rehearsalTime = 5 * time.Second

// stateVersion is that of the state that one program hands to the next.
const stateVersion = 1

// upgrade is a replacement that is due when the loop's round is over.
type upgrade struct {
	to      reply
	program int
	args    []string
}

// state is everything that one program hands to the next, by a memfd. The
// descriptors it names stay open across the exec.
type state struct {
	Version    int              `json:"version"`
	Generation int              `json:"generation"`
	Listen     int              `json:"listen"`
	Lock       int              `json:"lock"`
	NextConn   uint64           `json:"nextConn"`
	Conns      []connState      `json:"conns"`
	Procs      []procState      `json:"procs"`
	Held       map[string][]int `json:"held"`
	Strangers  map[int]uint32   `json:"strangers"`
	Upgrade    reply            `json:"upgrade"`
}

type connState struct {
	ID    uint64       `json:"id"`
	FD    int          `json:"fd"`
	Watch uint64       `json:"watch"`
	Queue []frameState `json:"queue"`
}

type frameState struct {
	Data []byte `json:"data"`
	FDs  []int  `json:"fds"`
}

type procState struct {
	task.Status
	Tied       uint64          `json:"tied"`
	CgroupKill string          `json:"cgkill"`
	OOM        string          `json:"oom"`
	OOMBefore  uint64          `json:"oomBefore"`
	Pidfd      int             `json:"pidfd"`
	StatusFD   int             `json:"statusFD"`
	Stdin      int             `json:"stdin"`
	Terminal   bool            `json:"terminal"`
	Outs       [2]outputState  `json:"outs"`
	Sink       *sinkState      `json:"sink"`
	Ready      bool            `json:"ready"`
	Told       bool            `json:"told"`
	Failure    *wire.StepError `json:"failure"`
	Creators   []reply         `json:"creators"`
	Starters   []reply         `json:"starters"`
	Deleters   []reply         `json:"deleters"`
	Doomed     bool            `json:"doomed"`
}

type outputState struct {
	FD     int  `json:"fd"`
	Stream byte `json:"stream"`
	Raised bool `json:"raised"`
}

type sinkState struct {
	Path     string  `json:"path"`
	MaxSize  int64   `json:"max"`
	MaxFiles int     `json:"files"`
	Drop     bool    `json:"drop"`
	Dropped  int64   `json:"dropped"`
	Pending  []chunk `json:"pending"`
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
	for _, d := range s.disks {
		if err := d.settle(rehearsalTime); err != nil {
			return err
		}
	}
	s.lookAtDisks()
	for p := range s.leaving {
		s.depart(p)
	}
	for _, d := range s.disks {
		if err := d.settle(rehearsalTime); err != nil { // what these have asked for
			return err
		}
	}
	if len(s.late) > 0 {
		return errs.New(errs.Unavailable, "output of processes that have ended is not written yet: their disk is full")
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

func readState(fd int) (*state, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	b := make([]byte, st.Size)
	for at := 0; at < len(b); {
		n, err := unix.Pread(fd, b[at:], int64(at))
		if err != nil || n == 0 {
			return nil, fmt.Errorf("read the state: %w", err)
		}
		at += n
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	if s.Version != stateVersion {
		return nil, errs.New(errs.Unsupported, "the state has version %d, this program knows %d", s.Version, stateVersion)
	}
	return &s, nil
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

// snapshot is the state and all descriptors in it.
func (s *server) snapshot(u *upgrade) (*state, []int) {
	st := &state{
		Version: stateVersion, Generation: s.generation + 1, Listen: s.listen, Lock: s.lock, NextConn: s.nextConn,
		Held: s.held, Strangers: map[int]uint32{}, Upgrade: u.to,
	}
	fds := []int{s.listen, s.lock}
	for pid, ws := range s.strangers {
		st.Strangers[pid] = uint32(ws)
	}
	for _, held := range s.held {
		fds = append(fds, held...)
	}
	for _, c := range s.conns {
		cs := connState{ID: c.id, FD: c.fd, Watch: c.watch}
		fds = append(fds, c.fd)
		for _, f := range c.queue {
			cs.Queue = append(cs.Queue, frameState{Data: f.data, FDs: f.fds})
			fds = append(fds, f.fds...)
		}
		st.Conns = append(st.Conns, cs)
	}
	for _, p := range s.procs {
		st.Procs = append(st.Procs, p.snapshot())
		for _, fd := range []int{p.pidfd, p.status, p.stdin, p.outs[0].fd, p.outs[1].fd} {
			if fd >= 0 {
				fds = append(fds, fd)
			}
		}
	}
	return st, fds
}

func (p *proc) snapshot() procState {
	ps := procState{
		Status: p.Status, Tied: p.tied, CgroupKill: p.cgroupKill, OOM: p.oom, OOMBefore: p.oomBefore,
		Pidfd: p.pidfd, StatusFD: p.status, Stdin: p.stdin, Terminal: p.terminal,
		Ready: p.ready, Told: p.told, Failure: p.failure,
		Creators: p.creators, Starters: p.starters, Deleters: p.deleters, Doomed: p.doomed,
	}
	for i, o := range p.outs {
		ps.Outs[i] = outputState{FD: o.fd, Stream: o.stream, Raised: o.raised}
	}
	if k := p.sink; k != nil {
		path, size, files := k.log.Settings()
		ps.Sink = &sinkState{Path: path, MaxSize: size, MaxFiles: files, Drop: k.drop, Dropped: k.dropped + k.lost}
		for _, j := range k.refused { // the disk is at rest: nobody else looks at them
			ps.Sink.Pending = append(ps.Sink.Pending, j.chunk)
		}
	}
	return ps
}

func (s *server) restore(ps *procState) *proc {
	p := &proc{
		Status: ps.Status, tied: ps.Tied, cgroupKill: ps.CgroupKill, oom: ps.OOM, oomBefore: ps.OOMBefore,
		pidfd: ps.Pidfd, status: ps.StatusFD, stdin: ps.Stdin, terminal: ps.Terminal,
		ready: ps.Ready, told: ps.Told, failure: ps.Failure,
		creators: ps.Creators, starters: ps.Starters, deleters: ps.Deleters,
		doomed: ps.Doomed || len(ps.Deleters) > 0, // a former build had only those
	}
	for i, o := range ps.Outs {
		p.outs[i] = output{fd: o.FD, stream: o.Stream, raised: o.Raised}
	}
	if k := ps.Sink; k != nil {
		p.sink = &sink{
			disk: s.diskOf(k.Path), log: logs.NewWriter(k.Path, k.MaxSize, k.MaxFiles),
			drop: k.Drop, lost: k.Dropped, users: 1, opened: true,
		}
		for _, c := range k.Pending {
			p.sink.disk.put(job{sink: p.sink, what: appendLog, chunk: c, held: len(c.Data)})
		}
	}
	return p
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
		s.strangers[pid] = unix.WaitStatus(ws)
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

package keeper

import (
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
	"lus/internal/store/logs"
)

// stateVersion is that of the state that one program hands to the next.
const stateVersion = 1

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
	Goes       bool            `json:"goes"`
	Told       bool            `json:"told"`
	Failure    *wire.StepError `json:"failure"`
	Creators   []reply         `json:"creators"`
	Starters   []reply         `json:"starters"`
	Deleters   []reply         `json:"deleters"`
	Doomed     bool            `json:"doomed"`
	Killed     bool            `json:"killed"`
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
	Device   uint64  `json:"device"`
	Dropped  int64   `json:"dropped"`
	Pending  []chunk `json:"pending"`
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

// snapshot is the state and all descriptors in it.
func (s *server) snapshot(u *upgrade) (*state, []int) {
	st := &state{
		Version: stateVersion, Generation: s.generation + 1, Listen: s.listen, Lock: s.lock, NextConn: s.nextConn,
		Held: s.held, Strangers: map[int]uint32{}, Upgrade: u.to,
	}
	fds := []int{s.listen, s.lock}
	for pid, x := range s.strangers.ended {
		st.Strangers[pid] = uint32(x.status)
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
		Ready: p.ready, Goes: p.goes, Told: p.told, Failure: p.failure,
		Creators: p.creators, Starters: p.starters, Deleters: p.deleters, Doomed: p.doomed, Killed: p.killed,
	}
	for i, o := range p.outs {
		ps.Outs[i] = outputState{FD: o.fd, Stream: o.stream, Raised: o.raised}
	}
	if k := p.sink; k != nil {
		path, size, files := k.log.Settings()
		ps.Sink = &sinkState{Path: path, MaxSize: size, MaxFiles: files, Drop: k.drop, Device: k.disk.device, Dropped: k.dropped + k.lost}
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
		ready: ps.Ready, goes: ps.Goes, told: ps.Told, failure: ps.Failure,
		creators: ps.Creators, starters: ps.Starters, deleters: ps.Deleters,
		doomed: ps.Doomed || len(ps.Deleters) > 0, // a former build had only those
		killed: ps.Killed,
	}
	for i, o := range ps.Outs {
		p.outs[i] = output{fd: o.FD, stream: o.Stream, raised: o.Raised}
	}
	if k := ps.Sink; k != nil {
		p.sink = &sink{
			disk: s.diskOf(k.Path, k.Device), log: logs.NewWriter(k.Path, k.MaxSize, k.MaxFiles),
			drop: k.Drop, lost: k.Dropped, users: 1, opened: true,
		}
		for _, c := range k.Pending {
			p.sink.disk.put(job{sink: p.sink, what: appendLog, chunk: c, held: len(c.Data) + jobSize})
		}
	}
	return p
}

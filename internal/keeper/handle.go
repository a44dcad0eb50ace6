package keeper

import (
	"errors"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/version"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
)

// handle serves one request. Descriptors that a request does not use are
// closed here.
func (s *server) handle(c *conn, req *wire.Request, fds []int) {
	to := reply{Conn: c.id, ID: req.ID}
	s.tidySoon()
	switch req.Op {
	case wire.Create:
		s.create(to, req.Create, fds)
		return
	case wire.Hold:
		s.hold(to, req.Name, fds)
		return
	case wire.Upgrade:
		s.askUpgrade(to, req.Args, fds)
		return
	}
	wire.CloseAll(fds)
	switch req.Op {
	case wire.Hello:
		s.answer(to, wire.Response{Hello: &wire.Greeting{Version: wire.Version, Pid: os.Getpid(), Build: version.String(), Generation: s.generation}})
	case wire.List:
		s.answer(to, wire.Response{List: s.list()})
	case wire.Watch:
		s.watch(c, to)
	case wire.Held:
		s.answer(to, wire.Response{Held: slices.Sorted(maps.Keys(s.held))})
	case wire.Take:
		s.take(to, req.Name)
	case wire.Drop:
		wire.CloseAll(s.held[req.Name])
		delete(s.held, req.Name)
		s.answer(to, wire.Response{})
	case wire.Quit:
		s.quit(to)
	default:
		s.handleProc(to, req)
	}
}

// handleProc serves the requests about one process.
func (s *server) handleProc(to reply, req *wire.Request) {
	if req.Key == nil {
		s.fail(to, errs.New(errs.Invalid, "the keeper does not know the request %q, or it names no process", req.Op))
		return
	}
	p := s.procs[*req.Key]
	switch req.Op {
	case wire.Ack:
		s.ack(to, p, req.Generation)
		return
	case wire.Delete:
		s.delete(to, p)
		return
	}
	if p == nil {
		s.fail(to, errs.New(errs.NotFound, "the keeper has no process %s", keyName(*req.Key)))
		return
	}
	switch req.Op {
	case wire.Go:
		s.letGo(to, p)
	case wire.Signal:
		s.conclude(to, p.signal(unix.Signal(req.Signal)))
	case wire.Resize:
		s.conclude(to, p.resize(req.Rows, req.Cols))
	case wire.Stdin:
		fd, err := p.dupStdin()
		if err != nil {
			s.fail(to, err)
			return
		}
		s.answer(to, wire.Response{}, fd)
	case wire.CloseStdin:
		p.closeStdin()
		s.answer(to, wire.Response{})
	default:
		s.fail(to, errs.New(errs.Unsupported, "this keeper (protocol %d) does not know the request %q", wire.Version, req.Op))
	}
}

func (s *server) conclude(to reply, err error) {
	s.answer(to, wire.Response{Error: wire.FromError(err)})
}

func (s *server) list() []task.Status {
	out := make([]task.Status, 0, len(s.procs))
	for _, p := range s.procs {
		out = append(out, p.Status)
	}
	return out
}

// watch answers with an empty message and then sends every exit, beginning
// with those that nobody has acknowledged.
func (s *server) watch(c *conn, to reply) {
	c.watch = to.ID
	s.answer(to, wire.Response{})
	for _, p := range s.ended() {
		s.tell(c, p)
	}
}

// ended are the processes that have ended, in the order in which they did.
func (s *server) ended() []*proc {
	var out []*proc
	for _, p := range s.procs {
		if p.Phase == task.Ended {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *proc) int { return a.Exit.At.Compare(b.Exit.At) })
	return out
}

func (s *server) tell(c *conn, p *proc) {
	status := p.Status
	s.answer(reply{Conn: c.id, ID: c.watch}, wire.Response{Status: &status, Watched: true})
}

func (s *server) ack(to reply, p *proc, generation uint64) {
	if p != nil && p.Generation == generation {
		if p.Phase != task.Ended {
			s.fail(to, errs.New(errs.Conflict, "%s has not ended: there is nothing to acknowledge", keyName(p.Key)))
			return
		}
		s.forget(p)
	}
	s.answer(to, wire.Response{})
}

// delete kills what runs and forgets it; it answers when it is gone.
func (s *server) delete(to reply, p *proc) {
	if p != nil && p.Phase != task.Ended {
		p.deleters, p.doomed = append(p.deleters, to), true
		p.kill()
		return
	}
	if p != nil {
		s.forget(p)
	}
	s.answer(to, wire.Response{})
}

func (s *server) hold(to reply, name string, fds []int) {
	if name == "" || len(name) > 256 || len(fds) == 0 {
		wire.CloseAll(fds)
		s.fail(to, errs.New(errs.Invalid, "hold needs a name of 1 to 256 bytes and a descriptor"))
		return
	}
	wire.CloseAll(s.held[name])
	s.held[name] = fds
	s.answer(to, wire.Response{})
}

func (s *server) take(to reply, name string) {
	held := s.held[name]
	if held == nil {
		s.fail(to, errs.New(errs.NotFound, "the keeper holds nothing named %q", name))
		return
	}
	var dups []int
	for _, fd := range held {
		d, err := dup(fd)
		if err != nil {
			wire.CloseAll(dups)
			s.fail(to, err)
			return
		}
		dups = append(dups, d)
	}
	s.answer(to, wire.Response{}, dups...)
}

func (s *server) quit(to reply) {
	if err := s.mayEnd(); err != nil {
		s.fail(to, err)
		return
	}
	s.answer(to, wire.Response{})
	s.done = true
}

func dup(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }

// lift moves a descriptor above the init's, where no child's shuffling of its
// descriptors can reach it before it is used.
func lift(fd int) (int, error) {
	if fd > initSlot {
		return fd, nil
	}
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, initSlot+1)
	_ = unix.Close(fd)
	if err != nil {
		return -1, errs.New(errs.Unavailable, "too many open descriptors in the keeper: %w", err)
	}
	return high, nil
}

func liftAll(fds []int) error {
	var failed error
	for i, fd := range fds {
		var err error
		if fds[i], err = lift(fd); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

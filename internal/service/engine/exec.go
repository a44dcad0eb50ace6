package engine

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/runtime"
	"lus/internal/model/container"
	"lus/internal/model/task"
	"lus/internal/service/engine/internal/spec"
)

// execution is one exec: asked for, running, or ended.
type execution struct {
	unit *unit
	id   string
	cfg  container.ExecConfig
	gen  uint64

	mu       sync.Mutex
	started  bool
	starting bool         // the word to go is under way: how that ends decides what an exit means
	early    *task.Status // an exit that came meanwhile
	running  bool
	pid      int
	code     *int
	endedAt  time.Time
	ended    chan struct{}
}

// execKept is how long an exec that ended can still be asked for its exit code.
const execKept = 5 * time.Minute

const execsSweep = 30 * time.Second

func (x *execution) key() task.Key { return task.Key{Container: x.unit.id, Exec: x.id} }

// CreateExec prepares a process to be run in a running container.
func (e *Engine) CreateExec(_ context.Context, name string, cfg *container.ExecConfig) (string, error) {
	u, err := e.find(name)
	if err != nil {
		return "", err
	}
	if len(cfg.Cmd) == 0 || cfg.Cmd[0] == "" {
		return "", errs.New(errs.Invalid, "No exec command specified")
	}
	for _, s := range append(append([]string{}, cfg.Cmd...), cfg.Env...) {
		if strings.ContainsRune(s, 0) {
			return "", errs.New(errs.Invalid, "an argument or variable contains a NUL byte")
		}
	}
	rec := u.snapshot()
	if err := execable(&rec); err != nil {
		return "", err
	}
	x := &execution{unit: u, id: ids.New(), cfg: *cfg, gen: uint64(e.Now().UnixNano()), ended: make(chan struct{})}
	e.mu.Lock()
	e.sweepExecs(e.Now())
	e.execs[x.id] = x
	e.mu.Unlock()
	u.mu.Lock()
	u.execs[x.id] = x
	u.mu.Unlock()
	e.tell(&rec, "exec_create: "+strings.Join(cfg.Cmd, " "), "execID", x.id)
	return x.id, nil
}

// sweepExecs forgets those that ended long ago, now and then: who runs a command a
// hundred times a second has thousands of them. The lock is held.
func (e *Engine) sweepExecs(now time.Time) {
	if now.Sub(e.execsSwept) < execsSweep {
		return
	}
	e.execsSwept = now
	for id, x := range e.execs {
		if x.over(now) {
			delete(e.execs, id)
		}
	}
}

func execable(rec *container.Container) error {
	switch {
	case rec.State.Status == container.Paused:
		return errs.New(errs.Conflict, "Container %s is paused, unpause the container before exec", rec.ID)
	case rec.State.Status == container.Restarting:
		return errs.New(errs.Conflict, "Container %s is restarting, wait until the container is running", rec.ID)
	case !rec.State.Running():
		return errs.New(errs.Conflict, "container %s is not running", rec.ID)
	}
	return nil
}

func (x *execution) over(now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.code != nil && now.Sub(x.endedAt) > execKept
}

// dropUnstarted forgets the execs that were asked for in a run that is over and
// never started: in another run they would be somebody else's.
func (e *Engine) dropUnstarted(u *unit) {
	var over []string
	u.mu.Lock()
	for id, x := range u.execs {
		x.mu.Lock()
		if !x.started {
			over = append(over, id)
			delete(u.execs, id)
		}
		x.mu.Unlock()
	}
	u.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range over {
		delete(e.execs, id)
	}
}

func (e *Engine) execByID(id string) (*execution, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if x := e.execs[id]; x != nil {
		return x, nil
	}
	return nil, errs.New(errs.NotFound, "No such exec instance: %s", id)
}

// StartExec runs the exec. Detached, its output goes nowhere.
func (e *Engine) StartExec(ctx context.Context, id string, detach, tty bool, size *[2]uint) (*container.Stream, error) {
	x, err := e.execByID(id)
	if err != nil {
		return nil, err
	}
	if !detach && tty != x.cfg.Tty {
		return nil, errs.New(errs.Invalid, "exec %s was created with tty=%v: start it the same way", ids.Short(id), x.cfg.Tty)
	}
	rec := x.unit.snapshot()
	if err := execable(&rec); err != nil {
		return nil, err
	}
	x.mu.Lock()
	if x.started {
		x.mu.Unlock()
		return nil, errs.New(errs.Conflict, "exec %s has already been started", ids.Short(id))
	}
	x.started = true
	x.mu.Unlock()
	if size == nil {
		size = x.cfg.ConsoleSize
	}
	// Told before, since it may end at once.
	e.tell(&rec, "exec_start: "+strings.Join(x.cfg.Cmd, " "), "execID", x.id)
	s, err := e.runExec(context.WithoutCancel(ctx), x, &rec, detach, size)
	if err != nil {
		e.execFailed(x, err)
		return nil, err
	}
	return s, nil
}

// runExec forks the process with the streams asked for and lets it go.
func (e *Engine) runExec(ctx context.Context, x *execution, rec *container.Container, detach bool, size *[2]uint) (*container.Stream, error) {
	proc, user, err := e.execProcess(ctx, rec, &x.cfg)
	if err != nil {
		return nil, err
	}
	io, err := e.execStreams(x, user, detach, size)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	x.starting = true
	x.mu.Unlock()
	req := &runtime.Exec{Process: proc, Generation: x.gen, Streams: io.streams, Given: io.given, Tied: !detach, Go: true}
	p, err := e.Runtime.Exec(ctx, rec.ID, x.id, req)
	io.closeGiven()
	if err != nil {
		io.abandon()
		return nil, err
	}
	e.execRuns(x, p.Pid)
	if p.Pid == 0 {
		e.learnPid(ctx, x)
	}
	return io.stream(x), nil
}

// execRuns notes that the process runs, unless it has ended by now. Until then an
// exit is held back: that of a start that failed is not the program's.
func (e *Engine) execRuns(x *execution, pid int) {
	x.mu.Lock()
	x.running, x.pid = true, pid
	early := x.early
	x.starting, x.early = false, nil
	x.mu.Unlock()
	if early != nil {
		e.deferred.do(func() { e.execEnded(*early) })
	}
}

// learnPid asks for the pid of an exec that was made only when it was started,
// as other runtimes do it. One that has ended needs none.
func (e *Engine) learnPid(ctx context.Context, x *execution) {
	list, err := e.Runtime.List(ctx)
	if err != nil {
		e.Log.Debug("the pid of an exec", "exec", ids.Short(x.id), "err", err)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range list {
		if s.Key == x.key() && x.running {
			x.pid = s.Pid
		}
	}
}

// execProcess is what to run, with the container's own surroundings.
func (e *Engine) execProcess(ctx context.Context, rec *container.Container, cfg *container.ExecConfig) (*specs.Process, spec.User, error) {
	layers, err := e.Images.Layers(ctx, rec.Image)
	if err != nil {
		return nil, spec.User{}, err
	}
	who := cfg.User
	if who == "" {
		who = rec.Config.User
	}
	user, err := e.whoIs.Find(e.paths(rec.ID).upper, layers.Dirs, who, rec.HostConfig.GroupAdd)
	if err != nil {
		return nil, user, err
	}
	p, err := spec.Exec(rec.ID, e.withLinks(rec), rec.HostConfig, cfg, user)
	if err != nil {
		return nil, user, err
	}
	p.ApparmorProfile, err = e.confined(rec)
	return p, user, err
}

// execFailed notes that the process never came to be.
func (e *Engine) execFailed(x *execution, err error) {
	code := 126
	if errs.Is(err, errs.CommandNotFound) {
		code = 127
	}
	e.execDone(x, code, func() {})
	// Where it was forked, the keeper still remembers it, and it may wait for its
	// start, or run, where nobody waited for that any more.
	if serr := e.Runtime.Signal(context.Background(), x.key(), int(unix.SIGKILL)); serr != nil && !errs.Is(serr, errs.NotFound) {
		e.Log.Debug("ending a failed exec", "exec", ids.Short(x.id), "err", serr)
	}
	if aerr := e.Runtime.Ack(context.Background(), x.key(), x.gen); aerr != nil && !errs.Is(aerr, errs.NotFound) {
		e.Log.Debug("acknowledging a failed exec", "exec", ids.Short(x.id), "err", aerr)
	}
}

// execEnded is told by the runtime.
func (e *Engine) execEnded(s task.Status) {
	x, err := e.execByID(s.Exec)
	if err == nil && x.gen == s.Generation {
		x.mu.Lock()
		if x.starting {
			x.early = &s // a start that failed is no exit of the program's
			x.mu.Unlock()
			return
		}
		x.mu.Unlock()
		code := s.Exit.Code
		if code == task.ExitUnknown {
			code = 255
		}
		rec := x.unit.snapshot()
		e.execDone(x, code, func() { e.tell(&rec, "exec_die", "execID", x.id, "exitCode", strconv.Itoa(code)) })
	}
	if ours(s.Container) {
		time.Sleep(breath) // the answers go first
		e.ack(s)
	}
}

// execDone ends the exec, once, and tells of it before those who wait go on.
func (e *Engine) execDone(x *execution, code int, tell func()) {
	x.mu.Lock()
	if x.code != nil {
		x.mu.Unlock()
		return
	}
	x.running, x.starting, x.pid, x.code, x.endedAt = false, false, 0, &code, e.Now()
	x.mu.Unlock()
	x.unit.mu.Lock()
	delete(x.unit.execs, x.id)
	x.unit.mu.Unlock()
	tell()
	close(x.ended)
}

// ResizeExec sets the size of an exec's terminal.
func (e *Engine) ResizeExec(ctx context.Context, id string, rows, cols uint16) error {
	x, err := e.execByID(id)
	if err != nil {
		return err
	}
	return e.Runtime.Resize(ctx, x.key(), rows, cols)
}

// InspectExec tells how far the exec has come.
func (e *Engine) InspectExec(_ context.Context, id string) (*container.Exec, error) {
	x, err := e.execByID(id)
	if err != nil {
		return nil, err
	}
	return x.seen(), nil
}

// WaitExec is InspectExec once the process has ended, also of one that is still
// to be started.
func (e *Engine) WaitExec(ctx context.Context, id string) (*container.Exec, error) {
	x, err := e.execByID(id)
	if err != nil {
		return nil, err
	}
	select {
	case <-x.ended:
		return x.seen(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (x *execution) seen() *container.Exec {
	x.mu.Lock()
	defer x.mu.Unlock()
	return &container.Exec{ID: x.id, ContainerID: x.unit.id, Config: x.cfg, Running: x.running, Started: x.started, ExitCode: x.code, Pid: x.pid}
}

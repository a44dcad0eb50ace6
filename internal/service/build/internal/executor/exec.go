package executor

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/identity"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
)

// Exec implements executor.Executor: a further process in a running step. It
// waits for a step that is about to start.
func (e *Executor) Exec(ctx context.Context, id string, process executor.ProcessInfo) error {
	if err := e.allowed(process.Meta); err != nil {
		return err
	}
	s, done, err := e.join(id)
	if err != nil {
		return err
	}
	defer done()
	select {
	case <-s.started:
	case <-s.ended:
		return errs.New(errs.Conflict, "build container %s has ended", id)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return e.exec(ctx, s, process)
}

// join finds a running step and keeps its removal waiting.
func (e *Executor) join(id string) (*step, func(), error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.running[id]
	if s == nil {
		return nil, nil, errs.New(errs.NotFound, "no build container %s", id)
	}
	s.execs.Add(1)
	return s, s.execs.Done, nil
}

func (e *Executor) exec(ctx context.Context, s *step, process executor.ProcessInfo) error {
	spec := *s.spec.Process
	meta := process.Meta
	spec.Args = meta.Args
	if len(meta.Env) > 0 {
		spec.Env = meta.Env
	}
	if meta.Cwd != "" {
		spec.Cwd = meta.Cwd
	}
	if meta.User != "" {
		u, err := lookUpUser(s.rootfs, meta.User)
		if err != nil {
			return err
		}
		spec.User = u
	}
	key := task.Key{Container: s.id, Exec: identity.NewID()}
	wait := e.exits.expect(key)
	defer e.exits.forget(key)
	io, err := newStreams(process, spec.User)
	if err != nil {
		return err
	}
	defer io.abort()
	_, err = e.o.Runtime.Exec(ctx, key.Container, key.Exec, &runtime.Exec{
		Process:    &spec,
		Generation: 1,
		Streams:    task.Streams{Kind: task.StreamGiven, UID: int(spec.User.UID), GID: int(spec.User.GID)},
		Given:      io.given,
		Tied:       true,
	})
	if err != nil {
		return fmt.Errorf("joining the build container: %w", err)
	}
	kill := func() error { return e.o.Runtime.Signal(context.WithoutCancel(ctx), key, int(unix.SIGKILL)) }
	io.run()
	if err := e.o.Runtime.Start(ctx, key); err != nil {
		_ = kill()
		return startError(err)
	}
	exit, err := e.wait(ctx, key, wait, process.Signal, kill)
	if err != nil {
		return err
	}
	io.wait()
	return exitError(ctx, exit, meta.ValidExitCodes)
}

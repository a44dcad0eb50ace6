// Package ociruntime runs containers by OCI runtimes that others wrote: runc
// and crun. The keeper is the parent of these containers as it is of ours,
// so that their output, their exit codes and their lives do not depend on the
// daemon.
//
// The keeper forks the init, not into a container but into a mount namespace.
// There the init attaches the root and the volumes, which were made as
// detached mounts as for our own containers, runs "RUNTIME create", names the
// process that it made in its own place, waits for the word to go, runs
// "RUNTIME start" and ends. The runtime's process, whose parents have ended by
// then, is the keeper's child; the mount namespace, and with it all that was
// mounted for the start, is gone.
package ociruntime

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"lus/internal/base/atomicfile"
	"lus/internal/base/errs"
	"lus/internal/base/ids"
	initproc "lus/internal/linux/init"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
)

// Runtimes are all runtimes as one: ours, and the others for the containers
// that ask for them. What needs only the keeper, the cgroup and /proc is done
// by ours for all of them.
type Runtimes struct {
	*runtime.Native
	keeper runtime.Keeper
	// Patience is how long a runtime may take to create, start or exec.
	Patience time.Duration
	dir      string // bundles and the runtimes' states, one folder for each runtime
	log      *slog.Logger

	mu      sync.RWMutex
	foreign map[string]string // whose a container is, where it is not ours
}

var _ runtime.Runtime = (*Runtimes)(nil)

// New returns the runtimes, with their folders below dir, where others than
// root must not be able to write. What was left there of containers that the
// keeper does not know is removed.
func New(ctx context.Context, native *runtime.Native, k runtime.Keeper, dir string, log *slog.Logger) (*Runtimes, error) {
	r := &Runtimes{Native: native, keeper: k, dir: dir, log: log, Patience: patience, foreign: map[string]string{}}
	list, err := k.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if name := runtime.Of(s); name != "" {
			r.foreign[s.Container] = name
		}
	}
	r.sweep(ctx)
	return r, r.writeFirst()
}

// writeFirst writes the init of this build as a file. A container that runs keeps
// the one it has: the file is not changed but replaced.
func (r *Runtimes) writeFirst() error {
	code, err := initproc.Binary()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(r.dir, firstFile), code, 0o755, atomicfile.Crash)
}

// sweep removes what a daemon left that died while it made or deleted a container.
func (r *Runtimes) sweep(ctx context.Context) {
	left, _ := filepath.Glob(filepath.Join(r.dir, "*", bundles, "*")) // fails only for a bad pattern
	for _, dir := range left {
		id, name := filepath.Base(dir), filepath.Base(filepath.Dir(filepath.Dir(dir)))
		if r.foreign[id] != "" {
			continue
		}
		if err := r.bundle(name, id).remove(ctx); err != nil {
			r.log.Warn("removing what is left of a container", "id", ids.Short(id), "runtime", name, "err", err)
		}
	}
}

// of tells whose a container is; empty: ours.
func (r *Runtimes) of(id string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.foreign[id]
}

// note takes the id for a container of another runtime.
func (r *Runtimes) note(id, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.foreign[id] != "" {
		return false
	}
	r.foreign[id] = name
	return true
}

func (r *Runtimes) drop(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.foreign, id)
}

// Create implements runtime.Runtime.
func (r *Runtimes) Create(ctx context.Context, c *runtime.Container) (*runtime.Process, error) {
	if c.Runtime == "" {
		return r.Native.Create(ctx, c)
	}
	if err := check(c); err != nil {
		return nil, err
	}
	program, err := find(c.Runtime)
	if err != nil {
		return nil, err
	}
	if !r.note(c.ID, c.Runtime) {
		return nil, errs.New(errs.Conflict, "container %s exists already", c.ID)
	}
	b := r.bundle(c.Runtime, c.ID)
	b.program = program
	proc, err := r.create(ctx, b, c)
	if err == nil {
		return proc, nil
	}
	if derr := r.Delete(context.WithoutCancel(ctx), c.ID); derr != nil {
		err = errors.Join(err, derr)
		r.drop(c.ID) // the next Create tries to remove it again
	}
	return nil, err
}

// Start implements runtime.Runtime.
func (r *Runtimes) Start(ctx context.Context, k task.Key) error {
	name := r.of(k.Container)
	if name == "" {
		return r.Native.Start(ctx, k)
	}
	b := r.bundle(name, k.Container)
	_, err := r.keeper.Go(ctx, k)
	err = b.explain(err, k.Exec)
	if k.Exec != "" {
		b.forget(k.Exec)
	}
	return err
}

// Delete implements runtime.Runtime.
func (r *Runtimes) Delete(ctx context.Context, id string) error {
	// The process goes first: the runtime would wait for it.
	if err := r.Native.Delete(ctx, id); err != nil {
		return err
	}
	name := r.of(id)
	if name == "" {
		return nil
	}
	if err := r.bundle(name, id).remove(ctx); err != nil {
		return err
	}
	r.drop(id)
	return nil
}

// fork hands a program to the keeper and returns once the init waits.
func (r *Runtimes) fork(ctx context.Context, b *bundle, req *task.Create, given [3]*os.File) (task.Status, error) {
	program, err := b.init.Memfd()
	if err != nil {
		return task.Status{}, err
	}
	defer program.Close()
	files := []*os.File{program}
	if req.Streams.Kind == task.StreamGiven {
		files = append(files, given[:]...)
	}
	req.Streams.Late = req.Streams.Kind == task.StreamTerminal
	req.Files = len(b.init.Files())
	status, err := r.keeper.Create(ctx, req, append(files, b.init.Files()...)...)
	if err == nil {
		err = ctx.Err() // it came to be when its time was over
	}
	var failed *task.StepError
	if errors.As(err, &failed) || ctx.Err() != nil {
		// Nobody will start it: the keeper is to forget it.
		_ = r.keeper.Delete(context.WithoutCancel(ctx), req.Key)
	}
	return status, b.explain(err, req.Exec)
}

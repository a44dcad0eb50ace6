package build_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
	"lus/test/need"
)

// runcRuntime drives runc.
type runcRuntime struct {
	root string
	mu   sync.Mutex
	c    map[string]*runcContainer
	ends chan task.Status
}

type runcContainer struct {
	c      *runtime.Container
	bundle string
	given  [3]*os.File
	cmd    *exec.Cmd
	done   chan struct{}
}

func newRuntime(t testing.TB, root string) *runcRuntime {
	need.Program(t, "runc", "runc")
	dir := filepath.Join(root, "runc")
	must(t, os.MkdirAll(dir, 0o700))
	return &runcRuntime{root: dir, c: map[string]*runcContainer{}, ends: make(chan task.Status, 100)}
}

func (r *runcRuntime) runc(args ...string) *exec.Cmd {
	return exec.Command("runc", append([]string{"--root", filepath.Join(r.root, "state")}, args...)...)
}

func (r *runcRuntime) Create(_ context.Context, c *runtime.Container) (*runtime.Process, error) {
	b := filepath.Join(r.root, c.ID)
	if err := os.Mkdir(b, 0o700); err != nil {
		return nil, err
	}
	s := *c.Spec
	s.Linux.CgroupsPath = "/" + c.Cgroup
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(b, "config.json"), text, 0o600); err != nil {
		return nil, err
	}
	rc := &runcContainer{c: c, bundle: b, done: make(chan struct{})}
	for i, f := range c.Given {
		fd, err := syscall.Dup(int(f.Fd()))
		if err != nil {
			return nil, err
		}
		syscall.CloseOnExec(fd)
		rc.given[i] = os.NewFile(uintptr(fd), f.Name())
	}
	r.mu.Lock()
	r.c[c.ID] = rc
	r.mu.Unlock()
	return &runtime.Process{}, nil
}

func (r *runcRuntime) Start(_ context.Context, k task.Key) error {
	r.mu.Lock()
	rc := r.c[k.Container]
	r.mu.Unlock()
	rc.cmd = r.runc("run", "--bundle", rc.bundle, k.Container)
	rc.cmd.Stdin, rc.cmd.Stdout, rc.cmd.Stderr = rc.given[0], rc.given[1], rc.given[2]
	if err := rc.cmd.Start(); err != nil {
		return err
	}
	for _, f := range rc.given {
		f.Close()
	}
	go func() {
		err := rc.cmd.Wait()
		code := 0
		var ee *exec.ExitError
		if errors.As(err, &ee) {
			code = ee.ExitCode()
		}
		close(rc.done)
		r.ends <- task.Status{Key: k, Generation: 1, Phase: task.Ended, Exit: &task.Exit{Code: code}}
	}()
	return nil
}

func (r *runcRuntime) Exec(context.Context, string, string, *runtime.Exec) (*runtime.Process, error) {
	return nil, errors.New("no exec")
}
func (r *runcRuntime) Signal(context.Context, task.Key, int) error { return nil }
func (r *runcRuntime) SignalAll(_ context.Context, id string, _ int) error {
	_, err := r.runc("kill", id, "KILL").CombinedOutput()
	return err
}
func (r *runcRuntime) Delete(_ context.Context, id string) error {
	r.mu.Lock()
	rc := r.c[id]
	delete(r.c, id)
	r.mu.Unlock()
	if rc == nil {
		return errs.New(errs.NotFound, "no")
	}
	if rc.cmd != nil {
		<-rc.done
	}
	_ = r.runc("delete", "--force", id).Run()
	return os.RemoveAll(rc.bundle)
}
func (r *runcRuntime) List(context.Context) ([]task.Status, error) { return nil, nil }
func (r *runcRuntime) Watch(ctx context.Context, fn func(task.Status)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-r.ends:
			fn(s)
		}
	}
}
func (r *runcRuntime) Ack(context.Context, task.Key, uint64) error { return nil }

// Package executor runs the RUN steps of a build as containers of our own
// runtime. It fulfils BuildKit's executor contract: mounts of every kind, user
// look-up in the root, extra hosts, limits, exit codes that BuildKit knows, and
// a second process in a running step. Whatever a step leaves behind (mounts,
// stubs, cgroup, files) is gone when Run returns.
package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/continuity/fs"
	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/llbsolver/cdidevices"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
)

// Prefix begins the id of every container of a build, so that whoever else
// watches the runtime can tell them from containers that have a record.
const Prefix = "build-"

// Runtime is what a build asks of the runtime.
type Runtime interface {
	Create(ctx context.Context, c *runtime.Container) (*runtime.Process, error)
	Exec(ctx context.Context, containerID, execID string, e *runtime.Exec) (*runtime.Process, error)
	Start(ctx context.Context, k task.Key) error
	Signal(ctx context.Context, k task.Key, sig int) error
	SignalAll(ctx context.Context, containerID string, sig int) error
	Delete(ctx context.Context, containerID string) error
	List(ctx context.Context) ([]task.Status, error)
	Watch(ctx context.Context, fn func(task.Status)) error
	Ack(ctx context.Context, k task.Key, generation uint64) error
}

// Network joins the network namespace of a step to the default network.
type Network interface {
	// Attach returns the text of the step's resolv.conf, and what gives
	// address and names back once the step has ended.
	Attach(ctx context.Context, id string, netns *os.File) (resolvConf []byte, release func(), err error)
}

// Options are what an Executor needs.
type Options struct {
	// Dir holds a folder for each running step. It is the executor's alone.
	Dir     string
	Runtime Runtime
	Network Network // nil: steps have a loopback interface only
	Cgroup  string  // parent of the steps' cgroups, relative to the hierarchies' roots
	// AppArmor is the profile of the steps, which it loads; nil or empty: none.
	AppArmor func() (string, error)
	// Devices are those that steps may ask for by name; nil: there are none.
	Devices *cdidevices.Manager
	// Insecure lets steps that ask for it have all privileges.
	Insecure bool
	Log      *slog.Logger
}

// Executor runs steps. Its zero value is of no use; New makes one.
type Executor struct {
	o     Options
	exits *exits

	mu      sync.Mutex
	running map[string]*step
}

var _ executor.Executor = (*Executor)(nil)

// step is one running RUN.
type step struct {
	id      string
	started chan struct{} // closed once the process runs
	ended   chan struct{} // closed when Run returns
	spec    *specs.Spec
	rootfs  string
	execs   sync.WaitGroup
}

// New returns an Executor; Close ends it. What a killed daemon left is Clean's.
func New(o Options) (*Executor, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o711); err != nil {
		return nil, err
	}
	dir, err := filepath.EvalSymlinks(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	e := &Executor{o: o, running: map[string]*step{}}
	e.exits = watch(o.Runtime, o.Log)
	return e, nil
}

// Close stops watching for exits. Steps that still run fail.
func (e *Executor) Close() error {
	e.exits.close()
	return nil
}

// Run implements executor.Executor: it returns when the step has ended and all
// that it held has been given back.
func (e *Executor) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (_ resourcestypes.Recorder, err error) {
	if id == "" {
		id = identity.NewID()
	}
	if err := executor.ValidContainerID(id); err != nil {
		return nil, err
	}
	s := &step{id: Prefix + id, started: make(chan struct{}), ended: make(chan struct{})}
	if err := e.add(id, s); err != nil {
		return nil, err
	}
	var once sync.Once
	announce := func() {
		once.Do(func() {
			if started != nil {
				close(started)
			}
		})
	}
	defer announce()
	defer e.remove(id, s)
	return nil, e.run(ctx, s, root, mounts, process, announce)
}

func (e *Executor) add(id string, s *step) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.running[id]; ok {
		return errs.New(errs.Conflict, "a build container %q runs already", id)
	}
	e.running[id] = s
	return nil
}

func (e *Executor) remove(id string, s *step) {
	e.mu.Lock()
	delete(e.running, id)
	e.mu.Unlock()
	close(s.ended)
	s.execs.Wait()
}

// run makes the step's root and mounts, starts its process and waits for it.
func (e *Executor) run(ctx context.Context, s *step, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, announce func()) (err error) {
	meta := process.Meta
	if err := e.allowed(meta); err != nil {
		return err
	}
	b, err := e.newBundle(s.id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()

	s.rootfs, err = b.mountRoot(ctx, root)
	if err != nil {
		return fmt.Errorf("mounting the step's root: %w", err)
	}
	defer executor.MountStubsCleaner(context.WithoutCancel(ctx), s.rootfs, mounts, meta.RemoveMountStubsRecursive)()

	s.spec, err = b.spec(ctx, s, meta, mounts)
	if err != nil {
		return err
	}
	if len(meta.CDIDevices) > 0 && e.o.Devices != nil {
		if err := e.o.Devices.InjectDevices(s.spec, meta.CDIDevices...); err != nil {
			return fmt.Errorf("CDI device injection failed: %w", err)
		}
	}
	if e.o.AppArmor != nil && !insecure(meta) {
		if s.spec.Process.ApparmorProfile, err = e.o.AppArmor(); err != nil {
			return err
		}
	}
	s.spec.Root = &specs.Root{Path: s.rootfs, Readonly: root.Readonly || meta.ReadonlyRootFS}
	if err := makeWorkingDir(s.rootfs, meta.Cwd, s.spec.Process.User); err != nil {
		return err
	}
	return e.container(ctx, s, b, process, announce)
}

// allowed refuses what no build here may have, whatever asked for it: a step of
// the Dockerfile or a container made by a frontend.
func (e *Executor) allowed(meta executor.Meta) error {
	if insecure(meta) && !e.o.Insecure {
		return errs.New(errs.Denied, "security.insecure is not allowed: build steps run without extra privileges")
	}
	if meta.Tty {
		return errs.New(errs.Unsupported, "a build step cannot have a terminal")
	}
	if meta.Proxy != nil {
		return errs.New(errs.Unsupported, "build steps have no proxy network here")
	}
	return nil
}

// makeWorkingDir creates the working directory inside the root, following the
// image's symlinks only within it.
func makeWorkingDir(rootfs, cwd string, u specs.User) error {
	dir, err := fs.RootPath(rootfs, cwd)
	if err != nil {
		return fmt.Errorf("working directory %s: %w", cwd, err)
	}
	if st, err := os.Stat(dir); err == nil {
		if !st.IsDir() {
			return errs.New(errs.Invalid, "working directory %s is not a directory", cwd)
		}
		return nil
	}
	if err := user.MkdirAllAndChown(dir, 0o755, int(u.UID), int(u.GID)); err != nil {
		return fmt.Errorf("creating the working directory %s: %w", cwd, err)
	}
	return nil
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/ociruntime"
	"lus/internal/linux/runtime"
	"lus/internal/model/container"
	"lus/internal/model/image"
	"lus/internal/model/task"
	"lus/internal/service/engine/internal/spec"
)

// StartContainer starts a container that does not run.
func (e *Engine) StartContainer(ctx context.Context, name string) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	u.op.Lock()
	defer u.op.Unlock()
	u.mu.Lock()
	rec, removing := u.rec, u.removing
	u.mu.Unlock()
	switch {
	case removing:
		return errs.New(errs.Conflict, "container is marked for removal and cannot be started")
	case rec.State.Status == container.Paused:
		return errs.New(errs.Conflict, "cannot start a paused container, try unpause instead")
	case rec.State.Status == container.Running:
		return errs.New(errs.NotModified, "container %s is running already", rec.Name)
	}
	u.restarts.cancel(u)
	u.edit(func(rec *container.Container) {
		rec.ManuallyStopped, rec.RestartCount, rec.Draining, rec.StopNote = false, 0, false, ""
	})
	e.records.touchSoon(u) // the start writes it
	// Half a start helps nobody: a client that goes away does not stop it.
	return e.launch(context.WithoutCancel(ctx), u)
}

// launch starts the container; u.op is held. A start that fails leaves nothing
// behind but the reason in the record.
func (e *Engine) launch(ctx context.Context, u *unit) error {
	u.mu.Lock()
	now := uint64(e.Now().UnixNano())
	u.gen = max(u.gen+1, now) // rises over crashes too, without waiting for the record
	u.launching, u.early, u.restarts.stopped = true, nil, false
	r := u.run
	rec, gen, cleaning := u.rec, u.gen, u.cleaning
	u.mu.Unlock()
	rec.State.Health = nil // that was the former run's
	if cleaning != nil {
		<-cleaning // the former run's leftovers would be in the way
	}
	if u.forgotten() { // by the end of that run
		u.mu.Lock()
		u.launching = false
		u.mu.Unlock()
		return errs.New(errs.NotFound, "No such container: %s", rec.Name)
	}

	undo := &undo{}
	l := &launch{e: e, u: u, rec: &rec, gen: gen, undo: undo}
	defer l.close()
	err := l.bringUp(ctx)
	if err != nil {
		e.neverRan(ctx, u, err)
		// The process first, so that its namespaces let go of everything else.
		if uerr := undo.all(ctx); uerr != nil {
			e.Log.Error("undoing a start", "container", rec.Name, "err", uerr)
		}
		e.launchFailed(u, r, err)
		return err
	}
	e.launched(u, r, l)
	return nil
}

// neverRan takes back that the process of a start that failed may have run, and
// has it written before the keeper forgets the process: else a daemon that finds
// the record, and nothing of it at the keeper, takes it for one whose end was
// not seen. Where the keeper is what failed, that may be so.
func (e *Engine) neverRan(ctx context.Context, u *unit, why error) {
	u.mu.Lock()
	begun := u.begun && !errs.Is(why, errs.Unavailable)
	u.begun = u.begun && !begun
	u.mu.Unlock()
	if !begun {
		return
	}
	e.records.touch(u)
	if err := e.records.flush(ctx); err != nil {
		e.Log.Warn("writing that a start failed", "id", ids.Short(u.id), "err", err)
	}
}

// launch is one start under way.
type launch struct {
	e      *Engine
	u      *unit
	rec    *container.Container
	gen    uint64
	undo   *undo
	image  *image.Layers
	places []place
	ports  container.PortMap
	pid    int
	held   undo       // gives back the volumes that were mounted for it
	parts  []*os.File // of volumes, and namespaces to join: open until the runtime has them
	// netns is the network namespace that the process joins; nil where the runtime
	// makes it. It is closed with the launch.
	netns *namespace
	// plugged: the networks were joined before the process was there.
	plugged bool
}

func (l *launch) close() {
	l.netns.close()
	for _, f := range l.parts {
		_ = f.Close()
	}
}

func (l *launch) bringUp(ctx context.Context) error {
	e, rec := l.e, l.rec
	var err error
	if err := e.checkLinked(rec); err != nil {
		return err
	}
	if l.image, err = e.Images.Layers(ctx, rec.Image); err != nil {
		return err
	}
	if l.places, err = e.places(rec); err != nil {
		return err
	}
	if l.netns = l.u.takeNamespace(); l.netns == nil && joinsNamespace(rec.HostConfig) {
		l.netns = e.makeNamespace()
	}
	if err := e.reserve(ctx, rec, l.places, l.undo); err != nil {
		return err
	}
	if err := e.writeFiles(rec, l.places); err != nil {
		return err
	}
	c, err := l.compile(ctx)
	if err != nil {
		return err
	}
	netns, err := l.bringTogether(ctx, c)
	if netns != nil {
		defer netns.Close()
	}
	if err != nil {
		return err
	}
	if err := l.connect(ctx, netns); err != nil {
		return err
	}
	return e.Runtime.Start(ctx, task.Key{Container: rec.ID})
}

// bringTogether has the process forked and its ports published: they wait for
// different things. Where the process is to join a network namespace that is there
// before it, that is plugged in meanwhile, and the record is written while the
// keeper forks.
func (l *launch) bringTogether(ctx context.Context, c *runtime.Container) (netns *os.File, err error) {
	e, rec := l.e, l.rec
	var g errgroup.Group
	published := make(chan struct{})
	if l.plugged = l.netns != nil; l.plugged {
		l.settle()
		c.NetNS = func() (*os.File, error) {
			g.Go(func() error {
				<-published
				return l.write(ctx)
			})
			return l.netns.wait()
		}
		g.Go(func() error {
			ns, err := l.netns.wait()
			if err != nil {
				return err
			}
			return l.plug(ctx, ns)
		})
	}
	g.Go(func() error {
		p, err := e.Runtime.Create(ctx, c)
		if err != nil {
			return err
		}
		l.pid, netns = p.Pid, p.NetNS
		l.undo.add(func(ctx context.Context) error { return e.Runtime.Delete(ctx, rec.ID) })
		return nil
	})
	g.Go(func() (err error) {
		defer close(published)
		l.ports, err = e.publish(ctx, rec, l.places, l.undo)
		return err
	})
	err = g.Wait()
	return netns, err
}

// settle notes the addresses in the record.
func (l *launch) settle() {
	l.u.mu.Lock()
	defer l.u.mu.Unlock()
	settlePlaces(&l.u.rec, l.places)
	l.rec.Networks = l.u.rec.Networks
}

// plug joins the networks, and has their names answered.
func (l *launch) plug(ctx context.Context, netns *os.File) error {
	if err := l.e.plug(ctx, l.rec, netns, l.places, l.undo); err != nil {
		return err
	}
	return l.e.serveNames(ctx, l.rec, netns, l.places, l.undo)
}

// connect writes the record and joins the networks, where that is still to be
// done: no process may run of which a daemon that comes back would not know all
// it has.
func (l *launch) connect(ctx context.Context, netns *os.File) error {
	if l.plugged {
		return nil
	}
	l.settle()
	written := make(chan error, 1)
	go func() { written <- l.write(ctx) }()
	return errors.Join(l.plug(ctx, netns), <-written)
}

// write has it on record that the process may run.
func (l *launch) write(ctx context.Context) error {
	l.u.mu.Lock()
	l.u.rec.Ports = l.ports
	l.u.begun = true
	l.u.mu.Unlock()
	l.e.records.touch(l.u)
	return l.e.records.flush(ctx)
}

// compile makes what the runtime is asked for.
func (l *launch) compile(ctx context.Context) (*runtime.Container, error) {
	e, rec, h := l.e, l.rec, l.rec.HostConfig
	p := e.paths(rec.ID)
	if err := p.makeFolder(); err != nil {
		return nil, err
	}
	in := &spec.Input{
		ID: rec.ID, Config: e.withLinks(rec), Host: h, Cgroup: e.cgroup(rec.ID),
		HostnamePath: p.hostname, HostsPath: p.hosts, ResolvConfPath: p.resolv,
		OwnNetwork: ownNetwork(h),
	}
	if err := l.join(ctx, in, p); err != nil {
		return nil, err
	}
	var err error
	if in.AppArmor, err = e.confined(rec); err != nil {
		return nil, err
	}
	if in.User, err = e.whoIs.Find(p.upper, l.image.Dirs, rec.Config.User, h.GroupAdd); err != nil {
		return nil, err
	}
	l.u.mu.Lock()
	ms := l.u.mounts
	l.u.mu.Unlock()
	l.undo.add(l.held.all)
	if err := e.holdVolumes(ms, &l.held); err != nil {
		return nil, err
	}
	if err := e.holdImages(ctx, rec.ID, ms, &l.held); err != nil {
		return nil, err
	}
	if in.Mounts, err = l.sources(rec.ID, ms); err != nil {
		return nil, err
	}
	s, err := spec.Compile(in)
	if err != nil {
		return nil, err
	}
	name, err := ociruntime.Name(h.Runtime)
	if err != nil {
		return nil, err
	}
	if err := e.giveDevices(s, rec, name); err != nil {
		return nil, err
	}
	lower, err := e.onStubs(l.image.Dirs)
	if err != nil {
		return nil, err
	}
	return &runtime.Container{
		ID: rec.ID, Generation: l.gen, Spec: s, Cgroup: in.Cgroup, Runtime: name,
		Rootfs:  runtime.Rootfs{Lower: lower, Upper: p.upper, Work: p.work, Volatile: h.AutoRemove},
		Streams: l.streams(p, in.User),
	}, nil
}

func (e *Engine) cgroup(id string) string { return filepath.Join("lus-"+e.Layout.Instance(), id) }

func ownNetwork(h *container.HostConfig) bool {
	return h.NetworkMode != "host" && !strings.HasPrefix(h.NetworkMode, "container:")
}

func (l *launch) streams(p paths, user spec.User) task.Streams {
	c := l.rec.Config
	s := task.Streams{Kind: task.StreamLog, Stdin: c.OpenStdin, UID: int(user.UID), GID: int(user.GID)}
	s.Log, _ = spec.Log(l.rec.HostConfig.LogConfig) // what it refuses was refused at creation
	s.Log.Path = p.log
	if c.Tty {
		s.Kind = task.StreamTerminal
		size := l.rec.HostConfig.ConsoleSize
		s.Rows, s.Cols = uint16(min(size[0], 65535)), uint16(min(size[1], 65535))
	}
	return s
}

// join finds the namespaces of other containers that this one is to enter.
func (l *launch) join(ctx context.Context, in *spec.Input, p paths) error {
	h := l.rec.HostConfig
	for _, j := range []struct {
		mode, kind string
		to         *string
	}{{h.NetworkMode, "net", &in.NetNS}, {h.PidMode, "pid", &in.PidNS}, {h.IpcMode, "ipc", &in.IpcNS}} {
		who, ok := strings.CutPrefix(j.mode, "container:")
		if !ok {
			continue
		}
		other, err := l.e.find(who)
		if err != nil {
			return err
		}
		rec := other.snapshot()
		if !rec.State.Running() {
			return errs.New(errs.Conflict, "cannot join %s namespace of a non running container: container %s is %s", j.kind, rec.Name, rec.State.Status)
		}
		ns, err := l.e.Runtime.Namespace(ctx, rec.ID, j.kind)
		if err != nil {
			return err
		}
		l.parts = append(l.parts, ns)
		*j.to = fmt.Sprintf("/proc/self/fd/%d", ns.Fd())
		op := l.e.paths(rec.ID)
		switch j.kind {
		case "ipc":
			if rec.HostConfig.IpcMode != "shareable" && rec.HostConfig.IpcMode != "host" {
				return errs.New(errs.Conflict, "can't join IPC of container %s: non-shareable IPC (hint: use IpcMode:shareable for the donor container)", rec.Name)
			}
			in.ShmPath = op.shm
			if rec.HostConfig.IpcMode == "host" {
				in.ShmPath = "/dev/shm"
			}
		case "net":
			in.HostsPath, in.ResolvConfPath, in.HostnamePath = op.hosts, op.resolv, op.hostname
		}
	}
	switch h.IpcMode {
	case "host":
		in.ShmPath = "/dev/shm"
	case "shareable":
		in.ShmPath = p.shm
		return l.mountShm(p.shm)
	}
	return nil
}

// mountShm makes a /dev/shm on the host that other containers can be shown too.
func (l *launch) mountShm(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	_ = unix.Unmount(path, unix.MNT_DETACH) // from a run that a crash cut short
	size := spec.ShmSize(l.rec.HostConfig)
	if err := unix.Mount("shm", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size="+strconv.FormatInt(size, 10)); err != nil {
		return &os.PathError{Op: "mount", Path: path, Err: err}
	}
	l.undo.add(func(context.Context) error { return unmountAt(path) })
	return nil
}

func unmountAt(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "unmount", Path: path, Err: err}
	}
	return nil
}

// launched notes that the process runs, unless it has ended already.
func (e *Engine) launched(u *unit, r *run, l *launch) {
	u.held.take(&l.held)
	// Told under the lock: whoever sees that it runs, or ends it, comes after.
	u.mu.Lock()
	rec := &u.rec
	rec.State = container.State{Status: container.Running, Pid: l.pid, StartedAt: e.Now(), FinishedAt: rec.State.FinishedAt}
	if probes(rec.Config) {
		rec.State.Health = &container.Health{Status: container.Starting, Log: []container.HealthResult{}}
	}
	u.launching, u.begun, u.wasStarted = false, false, true
	early := u.early
	u.early = nil
	for _, p := range l.places {
		e.tellNetwork(p.net, "connect", u.id)
	}
	e.tellMounts(u, "mount")
	e.tell(rec, "start")
	close(r.started)
	u.mu.Unlock()
	e.records.touchSoon(u)
	e.tellParents(u)
	e.startProbe(u, r)
	if early != nil {
		e.deferred.do(func() { e.ended(u, r, early) })
	}
}

// launchFailed notes why the container could not be started.
func (e *Engine) launchFailed(u *unit, r *run, err error) {
	code := 128
	switch errs.KindOf(err) {
	case errs.CommandNotFound:
		code = 127
	case errs.CommandNotExecutable:
		code = 126
	}
	u.mu.Lock()
	again := u.rec.State.Status == container.Restarting
	u.launching, u.begun, u.early = false, false, nil
	u.rec.State.Error, u.rec.State.ExitCode, u.rec.State.Pid = err.Error(), code, 0
	if u.wasStarted {
		u.rec.State.Status = container.Exited
	} else {
		u.rec.State.Status = container.Created
	}
	if u.rec.State.FinishedAt.IsZero() || u.wasStarted {
		u.rec.State.FinishedAt = e.Now()
	}
	r.exit = container.Exit{Code: code, At: e.Now(), Err: err.Error()}
	u.last = r.exit
	blank(&u.rec)
	u.run = newRun()
	now := u.rec
	if again { // nobody is told otherwise that it will not come back
		e.tell(&now, "die", "exitCode", strconv.Itoa(code))
	}
	close(r.ended)
	u.mu.Unlock()
	e.records.touch(u)
	e.Log.Warn("container not started", "container", now.Name, "id", ids.Short(now.ID), "err", err)
	if now.HostConfig.AutoRemove {
		e.forget(u, true)
		e.deferred.do(func() { e.clear(u, true) })
	}
}

package runtime

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/cgroup"
	initproc "lus/internal/linux/init"
	"lus/internal/linux/seccomp"
	"lus/internal/model/task"
)

// Native is our own runtime. What it knows of a container beyond what the
// keeper knows is a cache: after a restart everything works on containers
// that an earlier daemon created.
type Native struct {
	keeper  Keeper
	cgroups *cgroup.System
	filters *seccomp.Cache

	mu         sync.Mutex
	containers map[string]*container
}

var _ Runtime = (*Native)(nil)

// container is what Native remembers of one.
type container struct {
	generation uint64
	pid        int
	start      uint64 // of pid, to tell a later process with its number
	cgroup     string
	// root is the root's descriptor; while it is open, the end of the
	// container does not sync the file system its upper folder lies on.
	root *os.File
	// mounts is its mount namespace, nil where it could not be had: while it is open,
	// the news of its first process's end does not wait for the kernel to take all its
	// mounts apart.
	mounts *os.File
	// profile is the container's, for its execs.
	profile profile
}

// New returns a runtime that forks by the keeper.
func New(k Keeper) (*Native, error) {
	cgroups, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	return &Native{keeper: k, cgroups: cgroups, filters: seccomp.NewCache(), containers: map[string]*container{}}, nil
}

// Close lets go of the descriptors held for containers; they run on. Parents
// of cgroups named in empty are removed where they are empty.
func (n *Native) Close(parents ...string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, c := range n.containers {
		closeAll(c.release())
		delete(n.containers, id)
	}
	var err error
	for _, p := range parents {
		if cerr := n.cgroups.Cleanup(p); cerr != nil && !errors.Is(cerr, unix.EBUSY) {
			err = errors.Join(err, cerr)
		}
	}
	return err
}

// Create implements Runtime.
func (n *Native) Create(ctx context.Context, c *Container) (*Process, error) {
	if err := check(c); err != nil {
		return nil, err
	}
	if !n.reserve(c.ID) {
		return nil, errs.New(errs.Conflict, "container %s exists already", c.ID)
	}
	made, proc, err := n.create(ctx, c)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		delete(n.containers, c.ID)
		return nil, err
	}
	n.containers[c.ID] = made
	return proc, nil
}

// reserve takes the id for a container that is being made.
func (n *Native) reserve(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.containers[id] != nil {
		return false
	}
	n.containers[id] = &container{}
	return true
}

// check refuses what a Native would otherwise ignore.
func check(c *Container) error {
	s := c.Spec
	switch {
	case c.ID == "" || c.Cgroup == "":
		return errs.New(errs.Invalid, "a container needs an id and a cgroup")
	case s == nil || s.Linux == nil || s.Process == nil:
		return errs.New(errs.Invalid, "the spec has no process or is not one for Linux")
	case c.Runtime != "":
		return errs.New(errs.Unsupported, "the runtime %s is not one of ours", c.Runtime)
	case c.Rootfs.Path == "" && len(c.Rootfs.Lower) == 0:
		return errs.New(errs.Invalid, "the container has no root file system")
	case len(s.Linux.UIDMappings) > 0 || len(s.Linux.GIDMappings) > 0:
		return errs.New(errs.Unsupported, "user namespaces are not supported yet")
	case s.Hooks != nil:
		return errs.New(errs.Unsupported, "hooks are not supported")
	case s.Linux.Personality != nil || s.Linux.IntelRdt != nil || s.Linux.MemoryPolicy != nil || len(s.Linux.TimeOffsets) > 0 || len(s.Linux.NetDevices) > 0:
		return errs.New(errs.Unsupported, "personality, Intel RDT, memory policy, time offsets and network devices of a spec are not supported")
	case strings.IndexByte(s.Hostname+s.Domainname+strings.Join(s.Linux.MaskedPaths, "")+strings.Join(s.Linux.ReadonlyPaths, ""), 0) >= 0:
		return errs.New(errs.Invalid, "names and paths must not contain a zero byte")
	case s.Linux.MountLabel != "":
		return errs.New(errs.Unsupported, "SELinux labels are not supported yet")
	}
	switch s.Linux.RootfsPropagation {
	case "", "private", "rprivate", "slave", "rslave":
	default:
		return errs.New(errs.Unsupported, "root propagation %q is not supported", s.Linux.RootfsPropagation)
	}
	return checkProcess(s.Process)
}

func (n *Native) create(ctx context.Context, c *Container) (_ *container, _ *Process, err error) {
	group, err := n.cgroups.Group(c.Cgroup)
	if err != nil {
		return nil, nil, err
	}
	if group.Exists() {
		// Left behind by a crash, or by a daemon before this one and alive.
		if _, err := n.find(ctx, c.ID); !errs.Is(err, errs.NotFound) {
			return nil, nil, cmp.Or(err, errs.New(errs.Conflict, "container %s exists already", c.ID))
		}
	}
	root, err := places(group, c)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.Close(), group.Delete())
		}
	}()
	ns, err := resolve(c.Spec.Linux.Namespaces, c.NetNS) // after what takes time, as the network may
	if err != nil {
		return nil, nil, err
	}
	defer ns.close()
	pr := profileOf(c.Spec, n.filters)
	b := &builder{program: &initproc.Program{}, spec: c.Spec, group: group}
	defer b.close()
	if err := n.compile(b, c, ns, root, pr); err != nil {
		return nil, nil, err
	}
	status, err := n.fork(ctx, b.program, n.request(c, ns, group, pr), c.Given, b.master)
	if err != nil {
		return nil, nil, err
	}
	made := &container{
		generation: c.Generation, pid: status.Pid, start: status.StartTime,
		cgroup: group.Path(), root: root, profile: pr,
	}
	proc := &Process{Pid: status.Pid}
	if ns.ownNet {
		if proc.NetNS, err = made.open(c.ID, "ns/net"); err != nil {
			return nil, nil, n.endedEarly(ctx, c.ID, err)
		}
	}
	made.mounts, _ = made.open(c.ID, "ns/mnt") // the start tells why it is gone, if it is
	return made, proc, nil
}

// drop forgets a container. What is held of its mounts may be the last of them, and
// the kernel writes back what lies on them before it lets go: for as long as a disk or
// a server of files takes, in which others are not to wait for us.
func (n *Native) drop(id string, c *container) {
	n.mu.Lock()
	held := c.release()
	n.mu.Unlock()
	closeAll(held)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.containers[id] == c {
		delete(n.containers, id)
	}
}

// release takes what is held of its files, to be closed.
func (c *container) release() []*os.File {
	held := []*os.File{c.mounts, c.root}
	c.mounts, c.root = nil, nil
	return held
}

// closeAll closes files, of which some may be nil.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nil refuses
	}
}

// places makes the cgroup and the root at the same time: each is mostly waiting
// for the kernel. It leaves either both or nothing.
func places(group *cgroup.Group, c *Container) (*os.File, error) {
	limited := make(chan error, 1)
	go func() {
		err := group.Create()
		if err == nil {
			err = group.Apply(c.Spec.Linux.Resources)
		}
		limited <- err
	}()
	root, err := c.Rootfs.Mount()
	if lerr := <-limited; err == nil {
		err = lerr
	}
	if err == nil {
		return root, nil
	}
	if root != nil {
		_ = root.Close()
	}
	_ = group.Delete()
	return nil, err
}

// request is what the keeper is asked for.
func (n *Native) request(c *Container, ns *namespaces, group *cgroup.Group, pr profile) *task.Create {
	req := &task.Create{
		Key:        task.Key{Container: c.ID},
		Generation: c.Generation,
		CloneFlags: ns.clone,
		Streams:    c.Streams,
		Tied:       c.Tied,
		OOM:        group.OOMFile(),
		Record:     pack(c, group.Path(), pr),
	}
	if !ns.ownPid {
		req.CgroupKill = group.KillFolder()
	}
	return req
}

// fork hands a program to the keeper and returns once the init waits.
func (n *Native) fork(ctx context.Context, p *initproc.Program, req *task.Create, given [3]*os.File, master *os.File) (task.Status, error) {
	program, err := p.Memfd()
	if err != nil {
		return task.Status{}, err
	}
	defer program.Close()
	files := []*os.File{program}
	if req.Streams.Kind == task.StreamGiven {
		files = append(files, given[:]...)
	}
	if req.Streams.Master = master != nil; master != nil {
		files = append(files, master)
	}
	req.Files = len(p.Files())
	status, err := n.keeper.Create(ctx, req, append(files, p.Files()...)...)
	if err == nil {
		err = ctx.Err() // it came to be when its time was over
	}
	var failed *task.StepError
	if errors.As(err, &failed) || ctx.Err() != nil {
		// Nobody will start it, or wait for it: the keeper is to forget it.
		_ = n.keeper.Delete(context.WithoutCancel(ctx), req.Key)
	}
	return status, failure(err)
}

// compile writes a container's program.
func (n *Native) compile(b *builder, c *Container, ns *namespaces, root *os.File, pr profile) error {
	p, s := b.program, c.Spec
	confine(p, s.Process)
	p.OOMScore(oomScore(s.Process))
	if err := b.enter(ns); err != nil {
		return err
	}
	p.Private()
	p.Root(root)
	if err := b.mounts(); err != nil {
		return err
	}
	if c.Streams.Kind == task.StreamTerminal {
		var err error
		if b.master, err = b.console(); err != nil {
			return err
		}
	}
	if cwd := s.Process.Cwd; cwd != "" && cwd != "/" {
		p.Mkdir(cwd, 0o755)
	}
	if err := b.protect(); err != nil {
		return err
	}
	if s.Root != nil && s.Root.Readonly {
		p.RootReadonly()
	}
	p.Pivot()
	if s.Hostname != "" {
		p.Hostname(s.Hostname)
	}
	if s.Domainname != "" {
		p.Domainname(s.Domainname)
	}
	if ns.ownNet {
		p.Loopback()
	}
	p.Wait()
	if err := sysctls(p, s.Linux.Sysctl); err != nil {
		return err
	}
	return n.process(p, s.Process, pr, c.Streams.Kind == task.StreamTerminal, s.Annotations[AnnotationInit] == "true")
}

// enter writes the operations that bring the process into its cgroups and
// namespaces.
func (b *builder) enter(ns *namespaces) error {
	p := b.program
	tasks, err := b.group.Enter()
	if err != nil {
		return err
	}
	b.open = append(b.open, tasks...)
	for _, f := range tasks {
		p.Cgroup(f)
	}
	if ns.cgroup {
		p.Unshare(unix.CLONE_NEWCGROUP)
	}
	for _, j := range ns.joined {
		p.Setns(j.file, j.flag)
	}
	if ns.joinsPid {
		p.Fork()
	} else {
		p.Ready()
	}
	return nil
}

// Start implements Runtime.
func (n *Native) Start(ctx context.Context, k task.Key) error {
	_, err := n.keeper.Go(ctx, k)
	return failure(err)
}

// endedEarly tells why a process is gone that just waited: a step failed that
// was taken while nobody looked.
func (n *Native) endedEarly(ctx context.Context, id string, err error) error {
	k := task.Key{Container: id}
	if _, gerr := n.keeper.Go(ctx, k); gerr != nil {
		err = failure(gerr)
	}
	_ = n.keeper.Delete(ctx, k)
	return err
}

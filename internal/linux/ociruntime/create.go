package ociruntime

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/cgroup"
	"lus/internal/linux/mount"
	"lus/internal/linux/runtime"
	"lus/internal/linux/seccomp"
	"lus/internal/model/task"
)

// check refuses what another runtime cannot be asked for.
func check(c *runtime.Container) error {
	s := c.Spec
	switch {
	case c.ID == "" || c.Cgroup == "" || strings.ContainsAny(c.ID, "/\x00"):
		return errs.New(errs.Invalid, "a container needs an id and a cgroup")
	case s == nil || s.Linux == nil || s.Process == nil || len(s.Process.Args) == 0:
		return errs.New(errs.Invalid, "the spec has no process or is not one for Linux")
	}
	return nil
}

func (r *Runtimes) create(ctx context.Context, b *bundle, c *runtime.Container) (*runtime.Process, error) {
	defer b.close()
	if err := b.make(ctx); err != nil {
		return nil, err
	}
	if err := b.compile(c); err != nil {
		return nil, err
	}
	req, err := request(c)
	if err != nil {
		return nil, err
	}
	status, err := r.fork(ctx, b, req, c.Given)
	if err != nil {
		return nil, err
	}
	proc := &runtime.Process{Pid: status.Pid}
	if c.NetNS == nil && ownNetwork(c.Spec) {
		if proc.NetNS, err = r.Namespace(ctx, c.ID, "net"); err != nil {
			return nil, err
		}
	}
	return proc, nil
}

func ownNetwork(s *specs.Spec) bool {
	for _, n := range s.Linux.Namespaces {
		if n.Type == specs.NetworkNamespace {
			return n.Path == ""
		}
	}
	return false
}

// request is what the keeper is asked for. The init needs no namespace but one
// for its mounts.
func request(c *runtime.Container) (*task.Create, error) {
	cgroups, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	group, err := cgroups.Group(c.Cgroup)
	if err != nil {
		return nil, err
	}
	return &task.Create{
		Key: task.Key{Container: c.ID}, Generation: c.Generation,
		CloneFlags: unix.CLONE_NEWNS, Streams: c.Streams, Tied: c.Tied,
		OOM: group.OOMFile(), CgroupKill: group.KillFolder(), Record: runtime.Record(c),
	}, nil
}

// compile writes the container's spec as its runtime is to read it, and the
// program for the init.
func (b *bundle) compile(c *runtime.Container) error {
	b.init.OOMScore("0") // whatever the keeper has for itself is not the runtime's
	b.init.Private()
	root, err := b.keep(c.Rootfs.Mount())
	if err != nil {
		return err
	}
	b.init.Attach(root, b.path("rootfs"))
	s, err := b.spec(c)
	if err != nil {
		return err
	}
	if err := b.write("config.json", s); err != nil {
		return err
	}
	err = b.runWith(s.Process.Terminal, "", "create", "--bundle", b.dir, "--pid-file", b.path(pidOf("")))
	if err != nil {
		return err
	}
	b.init.Adopt(b.path(pidOf("")))
	b.init.Ready()
	b.init.Wait()
	b.run("", "start")
	b.init.Done()
	return nil
}

// version is the oldest of the spec that has all that ours say; a runtime
// refuses one that it does not know.
const version = "1.0.2"

// spec is the container's spec with what is ours put into everybody's words.
func (b *bundle) spec(c *runtime.Container) (*specs.Spec, error) {
	s, linux, process := *c.Spec, *c.Spec.Linux, *c.Spec.Process
	s.Linux, s.Process = &linux, &process
	s.Version = version
	s.Root = &specs.Root{Path: b.path("rootfs"), Readonly: c.Spec.Root != nil && c.Spec.Root.Readonly}
	linux.CgroupsPath = "/" + c.Cgroup
	if process.OOMScoreAdj == nil {
		process.OOMScoreAdj = new(int)
	}
	terminal(&process, c.Streams)
	if c.Spec.Annotations[runtime.AnnotationInit] == "true" {
		process.Args = append([]string{firstInside, "--"}, process.Args...)
		s.Mounts = append(slices.Clone(s.Mounts), specs.Mount{Destination: firstInside, Type: "bind", Source: b.first, Options: []string{"bind", "ro"}})
	}
	s.Annotations = map[string]string{}
	for key, value := range c.Spec.Annotations {
		if key != runtime.AnnotationInit && key != runtime.AnnotationSeccomp {
			s.Annotations[key] = value
		}
	}
	if linux.Seccomp == nil && c.Spec.Annotations[runtime.AnnotationSeccomp] == "default" {
		var err error
		if linux.Seccomp, err = seccomp.Default(&s); err != nil {
			return nil, err
		}
	}
	if s.Domainname != "" { // older ones do not know the field, and all know this
		linux.Sysctl = with(linux.Sysctl, "kernel.domainname", s.Domainname)
		s.Domainname = ""
	}
	if err := b.namespaces(&linux, c); err != nil {
		return nil, err
	}
	return &s, b.mounts(&s)
}

func with(values map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range values {
		out[k] = v
	}
	return out
}

// terminal says whether the runtime is to make one, and how big.
func terminal(p *specs.Process, s task.Streams) {
	p.Terminal, p.ConsoleSize = s.Kind == task.StreamTerminal, nil
	if p.Terminal && (s.Rows != 0 || s.Cols != 0) {
		p.ConsoleSize = &specs.Box{Height: uint(s.Rows), Width: uint(s.Cols)}
	}
}

// namespaces shows the runtime those to join: their paths are the daemon's own.
func (b *bundle) namespaces(linux *specs.Linux, c *runtime.Container) error {
	var out []specs.LinuxNamespace
	for _, n := range linux.Namespaces {
		if n.Type == specs.NetworkNamespace && c.NetNS != nil {
			continue
		}
		if n.Path != "" {
			path, err := b.bind(mount.Bind{Source: n.Path})
			if err != nil {
				return err
			}
			n.Path = path
		}
		out = append(out, n)
	}
	if c.NetNS != nil {
		file, err := c.NetNS()
		if err != nil {
			return err
		}
		path, err := b.bind(mount.Bind{Source: "the network namespace", From: file})
		if err != nil {
			return err
		}
		out = append(out, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: path})
	}
	linux.Namespaces = out
	return nil
}

func (b *bundle) bind(bind mount.Bind) (string, error) {
	f, err := b.keep(bind.Mount())
	if err != nil {
		return "", err
	}
	return b.attach(f)
}

// mounts opens what is to be bound here and now, so that nothing that is
// exchanged later can lead elsewhere.
func (b *bundle) mounts(s *specs.Spec) error {
	out := make([]specs.Mount, len(s.Mounts))
	for i, m := range s.Mounts {
		bind, isBind := bindOf(m)
		if isBind {
			if !path.IsAbs(m.Source) {
				return errs.New(errs.Invalid, "bind source path must be absolute: %q", m.Source)
			}
			var err error
			if m.Source, err = b.bind(bind); err != nil {
				return err
			}
		}
		// Without it no mount in the container could be seen outside, or the other way.
		switch bind.Propagation {
		case unix.MS_SHARED:
			s.Linux.RootfsPropagation = "shared"
		case unix.MS_SLAVE:
			if s.Linux.RootfsPropagation != "shared" {
				s.Linux.RootfsPropagation = "rslave"
			}
		}
		out[i] = m
	}
	s.Mounts = out
	return nil
}

// bindOf reads a bind's options, as far as they say what is bound.
func bindOf(m specs.Mount) (bind mount.Bind, isBind bool) {
	bind.Source = m.Source
	isBind = m.Type == "bind"
	for _, o := range m.Options {
		switch o {
		case "bind":
			isBind = true
		case "rbind":
			isBind, bind.Recursive = true, true
		case "shared", "rshared":
			bind.Propagation = unix.MS_SHARED
		case "slave", "rslave":
			bind.Propagation = unix.MS_SLAVE
		}
	}
	return bind, isBind
}

// Package spec compiles what was asked for a container into an OCI runtime
// spec: the same start for everybody (namespaces, mounts, devices, the default
// capabilities and seccomp profile, masked paths), changed as the user said.
// What cannot be honoured is refused: no option is dropped in silence.
package spec

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/runtime"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/merge"
	"lus/internal/service/engine/internal/mounts"
)

// Input is everything a spec is compiled from.
type Input struct {
	ID     string
	Config *container.Config // merged with the image's
	Host   *container.HostConfig
	User   User
	Mounts []mounts.Mount // sources resolved
	Cgroup string
	// HostnamePath and so on are the files to show inside; empty: none.
	HostnamePath, HostsPath, ResolvConfPath string
	// The namespaces to join, as paths below /proc; empty: see HostConfig.
	NetNS, PidNS, IpcNS string
	// ShmPath is a folder of the host to use as /dev/shm; empty: one's own.
	ShmPath string
	// OwnNetwork says that the network namespace is the container's own.
	OwnNetwork bool
	// AppArmor is the profile to start under; empty: none.
	AppArmor string
}

// Compile makes the spec.
func Compile(in *Input) (*specs.Spec, error) {
	h := in.Host
	s := runtime.Default()
	s.Root = &specs.Root{Path: "rootfs", Readonly: h.ReadonlyRootfs}
	s.Annotations = maps.Clone(h.Annotations)
	if h.Init != nil && *h.Init {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[runtime.AnnotationInit] = "true"
	} else {
		delete(s.Annotations, runtime.AnnotationInit) // that is for --init to say
	}
	s.Linux.CgroupsPath = "/" + in.Cgroup
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = HiddenPaths(h)
	s.Process = process(in)
	s.Process.ApparmorProfile = in.AppArmor
	if !hostUTS(h) {
		s.Hostname = Hostname(in.ID, in.Config)
		s.Domainname = in.Config.Domainname
	}
	s.Linux.Namespaces = namespaces(in)
	var err error
	if s.Linux.Sysctl, err = sysctls(in); err != nil {
		return nil, err
	}
	if s.Mounts, err = mountList(in, s.Mounts); err != nil {
		return nil, err
	}
	rules := s.Linux.Resources.Devices
	s.Linux.Resources = Resources(&h.Resources)
	if s.Linux.Resources.BlockIO, err = BlockIO(&h.Resources); err != nil {
		return nil, err
	}
	s.Linux.Resources.Devices = rules
	if err := devices(s, h); err != nil {
		return nil, err
	}
	if s.Process.Capabilities, err = capabilities(h, in.User.UID); err != nil {
		return nil, err
	}
	if s.Process.Rlimits, err = Rlimits(h.Ulimits); err != nil {
		return nil, err
	}
	return s, security(s, h)
}

// Hostname is the name a container calls itself.
func Hostname(id string, c *container.Config) string {
	if c.Hostname != "" {
		return c.Hostname
	}
	return ids.Short(id)
}

func process(in *Input) *specs.Process {
	c := in.Config
	cwd := c.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	args := merge.Command(c)
	p := &specs.Process{
		Terminal: c.Tty,
		User:     in.User.Spec(),
		Args:     args,
		Env:      Env(in.ID, c, in.User.Home),
		Cwd:      path.Clean(cwd),
	}
	if size := in.Host.ConsoleSize; c.Tty && size[0] > 0 && size[1] > 0 {
		p.ConsoleSize = &specs.Box{Height: size[0], Width: size[1]}
	}
	if score := in.Host.OomScoreAdj; score != 0 {
		p.OOMScoreAdj = &score
	}
	return p
}

// Env is the environment of the container's processes: what every one has, then
// the image's and the user's. A name alone takes a variable away.
func Env(id string, c *container.Config, home string) []string {
	env := []string{"PATH=" + merge.DefaultPath, "HOSTNAME=" + Hostname(id, c)}
	if c.Tty {
		env = append(env, "TERM=xterm")
	}
	env = WithEnv(env, c.Env)
	if !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "HOME=") }) {
		env = append(env, "HOME="+home)
	}
	return env
}

// WithEnv puts more into env: a name that is there already gets its new value
// in its old place, "NAME" alone is taken away.
func WithEnv(env, more []string) []string {
	env = slices.Clone(env)
	for _, kv := range more {
		key, _, hasValue := strings.Cut(kv, "=")
		i := slices.IndexFunc(env, func(have string) bool { return strings.HasPrefix(have, key+"=") })
		switch {
		case !hasValue && i >= 0:
			env = slices.Delete(env, i, i+1)
		case hasValue && i >= 0:
			env[i] = kv
		case hasValue:
			env = append(env, kv)
		}
	}
	return env
}

func hostUTS(h *container.HostConfig) bool { return h.UTSMode == "host" }

func namespaces(in *Input) []specs.LinuxNamespace {
	h := in.Host
	out := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	add := func(t specs.LinuxNamespaceType, host bool, join string) {
		if !host {
			out = append(out, specs.LinuxNamespace{Type: t, Path: join})
		}
	}
	add(specs.NetworkNamespace, h.NetworkMode == "host", in.NetNS)
	add(specs.UTSNamespace, hostUTS(h), "")
	add(specs.PIDNamespace, h.PidMode == "host", in.PidNS)
	add(specs.IPCNamespace, h.IpcMode == "host", in.IpcNS)
	add(specs.CgroupNamespace, h.CgroupnsMode == "host" || h.Privileged && h.CgroupnsMode == "", "")
	return out
}

// perNamespace are the settings outside net that belong to a namespace; all of
// them to that of IPC.
var perNamespace = [...]string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
	"kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}

func sysctls(in *Input) (map[string]string, error) {
	h := in.Host
	out := map[string]string{}
	if in.OwnNetwork && !h.Privileged {
		// Without them a process that is not root could neither bind port 80 nor ping.
		out["net.ipv4.ip_unprivileged_port_start"] = "0"
		out["net.ipv4.ping_group_range"] = "0 2147483647"
	}
	for key, value := range h.Sysctls {
		ipc := slices.Contains(perNamespace[:], key) || strings.HasPrefix(key, "fs.mqueue.")
		switch {
		case strings.ContainsAny(key, "/\x00") || strings.Contains(key, "..") || strings.ContainsRune(value, 0):
			return nil, errs.New(errs.Invalid, "sysctl %q: not a name of a setting", key)
		case strings.HasPrefix(key, "net.") && !in.OwnNetwork:
			return nil, errs.New(errs.Invalid, "sysctl '%s' not allowed as the container has no network namespace of its own", key)
		case ipc && (h.IpcMode == "host" || strings.HasPrefix(h.IpcMode, "container:")):
			return nil, errs.New(errs.Invalid, "sysctl '%s' not allowed as the container has no IPC namespace of its own", key)
		case !ipc && !strings.HasPrefix(key, "net."):
			return nil, errs.New(errs.Invalid, "sysctl '%s' is not allowed: it is not separate for each container", key)
		}
		out[key] = value
	}
	return out, nil
}

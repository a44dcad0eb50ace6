package executor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// spec compiles what BuildKit asks for into an OCI spec.
func (b *bundle) spec(ctx context.Context, s *step, meta executor.Meta, mounts []executor.Mount) (*specs.Spec, error) {
	u, err := lookUpUser(s.rootfs, meta.User)
	if err != nil {
		return nil, err
	}
	files, err := b.networkFiles(meta)
	if err != nil {
		return nil, err
	}
	asked, err := b.mounts(ctx, mounts)
	if err != nil {
		return nil, err
	}
	spec := &specs.Spec{
		Version:  specs.Version,
		Hostname: hostname(meta),
		Process:  processSpec(meta, u),
		Mounts:   lastWins(slices.Concat(kernelMounts(), files, asked)),
		Linux: &specs.Linux{
			Namespaces:    namespaces(meta.NetMode),
			Resources:     resources(meta.LinuxResources),
			MaskedPaths:   maskedPaths(),
			ReadonlyPaths: readonlyPaths(),
		},
	}
	if spec.Linux.Seccomp, err = seccomp.GetDefaultProfile(spec); err != nil {
		return nil, fmt.Errorf("the default seccomp profile: %w", err)
	}
	return spec, nil
}

func processSpec(meta executor.Meta, u specs.User) *specs.Process {
	caps := capabilities()
	p := &specs.Process{
		Args: meta.Args,
		Env:  meta.Env,
		Cwd:  meta.Cwd,
		User: u,
		Capabilities: &specs.LinuxCapabilities{
			Bounding: caps, Permitted: caps, Effective: caps,
		},
	}
	if u.UID != 0 {
		p.Capabilities.Permitted, p.Capabilities.Effective = nil, nil
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	for _, l := range meta.Ulimit {
		if l != nil {
			p.Rlimits = append(p.Rlimits, specs.POSIXRlimit{
				Type: "RLIMIT_" + strings.ToUpper(l.Name), Hard: uint64(l.Hard), Soft: uint64(l.Soft),
			})
		}
	}
	return p
}

func namespaces(mode pb.NetMode) []specs.LinuxNamespace {
	out := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
		{Type: specs.MountNamespace}, {Type: specs.CgroupNamespace},
	}
	if mode != pb.NetMode_HOST {
		out = append(out, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	}
	return out
}

// resources are the limits asked for, and the default device rules: a step has
// the harmless character devices and may create device nodes, not open them.
func resources(r *pb.LinuxResources) *specs.LinuxResources {
	out := &specs.LinuxResources{Devices: deviceRules()}
	if r == nil {
		return out
	}
	if r.Memory != 0 || r.MemorySwap != 0 {
		out.Memory = &specs.LinuxMemory{}
		if r.Memory != 0 {
			out.Memory.Limit = &r.Memory
		}
		if r.MemorySwap != 0 {
			out.Memory.Swap = &r.MemorySwap
		}
	}
	cpu := &specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}
	if r.CpuShares != 0 {
		cpu.Shares = &r.CpuShares
	}
	if r.CpuQuota != 0 {
		cpu.Quota = &r.CpuQuota
	}
	if r.CpuPeriod != 0 {
		cpu.Period = &r.CpuPeriod
	}
	out.CPU = cpu
	return out
}

func deviceRules() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "b", Access: "m"},
	}
	for _, d := range [][2]int64{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {136, -1}} {
		rule := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Access: "rwm", Major: &d[0]}
		if d[1] >= 0 {
			rule.Minor = &d[1]
		}
		rules = append(rules, rule)
	}
	return rules
}

// capabilities are Docker's default ones.
func capabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
}

func kernelMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
	}
}

func maskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap",
	}
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// lastWins drops a mount whose destination comes again: a step that mounts
// over /dev/shm or /etc/hosts means its own.
func lastWins(mounts []specs.Mount) []specs.Mount {
	last := map[string]int{}
	for i, m := range mounts {
		last[m.Destination] = i
	}
	var out []specs.Mount
	for i, m := range mounts {
		if last[m.Destination] == i {
			out = append(out, m)
		}
	}
	return out
}

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"math"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// setting is one value to be written. A controller the host lacks is an error
// for those who asked, by the name people know the option under.
type setting struct {
	controller, file, value string
	option                  string
}

// Apply sets the limits that r names, and leaves the others.
func (g *Group) Apply(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	var settings []setting
	var err error
	if g.sys.V2() {
		settings, err = settingsV2(r)
	} else {
		settings, err = settingsV1(r)
	}
	if err != nil {
		return err
	}
	if err := g.applyAll(settings); err != nil {
		return err
	}
	return g.devices(r.Devices)
}

func (g *Group) applyAll(settings []setting) error {
	for i, s := range settings {
		err := g.apply(s)
		if errors.Is(err, unix.EINVAL) && i+1 < len(settings) && memoryPair(s, settings[i+1]) {
			// Memory may not pass memory with swap: raising both starts with the other.
			if err = g.apply(settings[i+1]); err == nil {
				err = g.apply(s)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func memoryPair(a, b setting) bool {
	return a.file == "memory.limit_in_bytes" && b.file == "memory.memsw.limit_in_bytes"
}

func (g *Group) apply(s setting) error {
	dir := g.dir(s.controller)
	if dir == "" {
		return missing(s)
	}
	err := write(dir, s.file, s.value)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		// The kernel's cgroup file system answers the making of a file with EACCES.
		if !g.Exists() {
			return errs.New(errs.NotFound, "cgroup %s does not exist", g.path)
		}
		return missing(s)
	case errors.Is(err, unix.EBUSY) && s.controller == "memory":
		return errs.New(errs.Conflict, "%s: more memory is in use than the new limit %s", s.option, s.value)
	case err != nil:
		return errs.New(errs.Invalid, "%s: the kernel refuses %q in %s: %w", s.option, s.value, s.file, err)
	}
	return nil
}

func missing(s setting) error {
	return errs.New(errs.Unsupported, "%s: this host has no cgroup controller for it (%s, file %s): leave the option out or enable the controller", s.option, s.controller, s.file)
}

func settingsV1(r *specs.LinuxResources) ([]setting, error) {
	var out []setting
	add := func(controller, file, option string, value any) {
		out = append(out, setting{controller, file, fmt.Sprint(value), option})
	}
	if m := r.Memory; m != nil {
		if m.Limit != nil && *m.Limit != 0 {
			add("memory", "memory.limit_in_bytes", "--memory", *m.Limit)
		}
		if m.Swap != nil && *m.Swap != 0 {
			add("memory", "memory.memsw.limit_in_bytes", "--memory-swap", *m.Swap)
		}
		if m.Reservation != nil && *m.Reservation != 0 {
			add("memory", "memory.soft_limit_in_bytes", "--memory-reservation", *m.Reservation)
		}
		if m.Swappiness != nil {
			add("memory", "memory.swappiness", "--memory-swappiness", *m.Swappiness)
		}
		if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
			add("memory", "memory.oom_control", "--oom-kill-disable", 1)
		}
	}
	cpuV1(r.CPU, add)
	if r.Pids != nil && r.Pids.Limit != nil {
		add("pids", "pids.max", "--pids-limit", pidsMax(*r.Pids.Limit))
	}
	blkioV1(r.BlockIO, add)
	for _, h := range r.HugepageLimits {
		add("hugetlb", "hugetlb."+h.Pagesize+".limit_in_bytes", "hugepage limit", h.Limit)
	}
	if n := r.Network; n != nil && n.ClassID != nil {
		add("net_cls", "net_cls.classid", "network class", *n.ClassID)
	}
	if len(r.Unified) > 0 {
		return nil, errs.New(errs.Unsupported, "limits by their version 2 names need a host with cgroup version 2")
	}
	return out, nil
}

func cpuV1(c *specs.LinuxCPU, add func(controller, file, option string, value any)) {
	if c == nil {
		return
	}
	if c.Shares != nil && *c.Shares != 0 {
		add("cpu", "cpu.shares", "--cpu-shares", *c.Shares)
	}
	if c.Period != nil && *c.Period != 0 {
		add("cpu", "cpu.cfs_period_us", "--cpu-period", *c.Period)
	}
	if c.Quota != nil && *c.Quota != 0 {
		add("cpu", "cpu.cfs_quota_us", "--cpu-quota", *c.Quota)
	}
	if c.Burst != nil {
		add("cpu", "cpu.cfs_burst_us", "cpu burst", *c.Burst)
	}
	if c.RealtimePeriod != nil && *c.RealtimePeriod != 0 {
		add("cpu", "cpu.rt_period_us", "--cpu-rt-period", *c.RealtimePeriod)
	}
	if c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0 {
		add("cpu", "cpu.rt_runtime_us", "--cpu-rt-runtime", *c.RealtimeRuntime)
	}
	if c.Idle != nil && *c.Idle != 0 {
		add("cpu", "cpu.idle", "cpu idle", *c.Idle)
	}
	if c.Cpus != "" {
		add("cpuset", "cpuset.cpus", "--cpuset-cpus", c.Cpus)
	}
	if c.Mems != "" {
		add("cpuset", "cpuset.mems", "--cpuset-mems", c.Mems)
	}
}

func blkioV1(b *specs.LinuxBlockIO, add func(controller, file, option string, value any)) {
	if b == nil {
		return
	}
	if b.Weight != nil && *b.Weight != 0 {
		add("blkio", "blkio.bfq.weight", "--blkio-weight", *b.Weight)
	}
	for _, w := range b.WeightDevice {
		if w.Weight != nil {
			add("blkio", "blkio.bfq.weight_device", "--blkio-weight-device", fmt.Sprintf("%d:%d %d", w.Major, w.Minor, *w.Weight))
		}
	}
	throttle := func(file, option string, list []specs.LinuxThrottleDevice) {
		for _, t := range list {
			add("blkio", "blkio.throttle."+file, option, fmt.Sprintf("%d:%d %d", t.Major, t.Minor, t.Rate))
		}
	}
	throttle("read_bps_device", "--device-read-bps", b.ThrottleReadBpsDevice)
	throttle("write_bps_device", "--device-write-bps", b.ThrottleWriteBpsDevice)
	throttle("read_iops_device", "--device-read-iops", b.ThrottleReadIOPSDevice)
	throttle("write_iops_device", "--device-write-iops", b.ThrottleWriteIOPSDevice)
}

func settingsV2(r *specs.LinuxResources) ([]setting, error) {
	var out []setting
	add := func(controller, file, option string, value any) {
		out = append(out, setting{controller, file, fmt.Sprint(value), option})
	}
	if err := memoryV2(r.Memory, add); err != nil {
		return nil, err
	}
	if err := cpuV2(r.CPU, add); err != nil {
		return nil, err
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		add("pids", "pids.max", "--pids-limit", pidsMax(*r.Pids.Limit))
	}
	ioV2(r.BlockIO, add)
	for _, h := range r.HugepageLimits {
		add("hugetlb", "hugetlb."+h.Pagesize+".max", "hugepage limit", h.Limit)
	}
	if n := r.Network; n != nil && n.ClassID != nil {
		return nil, errs.New(errs.Unsupported, "network classes need a host with cgroup version 1")
	}
	for file, value := range r.Unified {
		add("unified", file, "cgroup file "+file, value)
	}
	return out, nil
}

func memoryV2(m *specs.LinuxMemory, add func(controller, file, option string, value any)) error {
	if m == nil {
		return nil
	}
	if m.Limit != nil && *m.Limit != 0 {
		add("memory", "memory.max", "--memory", orMax(*m.Limit))
	}
	if m.Swap != nil && *m.Swap != 0 {
		swap := *m.Swap
		if swap > 0 {
			// The spec counts memory and swap together, the kernel swap alone.
			if m.Limit == nil || *m.Limit <= 0 {
				return errs.New(errs.Invalid, "--memory-swap needs --memory: it is the sum of both")
			}
			if swap -= *m.Limit; swap < 0 {
				return errs.New(errs.Invalid, "--memory-swap must not be less than --memory: it is the sum of both")
			}
		}
		add("memory", "memory.swap.max", "--memory-swap", orMax(swap))
	}
	if m.Reservation != nil && *m.Reservation != 0 {
		add("memory", "memory.low", "--memory-reservation", orMax(*m.Reservation))
	}
	return nil
}

func cpuV2(c *specs.LinuxCPU, add func(controller, file, option string, value any)) error {
	if c == nil {
		return nil
	}
	if c.RealtimePeriod != nil && *c.RealtimePeriod != 0 || c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0 {
		return errs.New(errs.Unsupported, "real-time limits need a host with cgroup version 1")
	}
	if c.Idle != nil && *c.Idle != 0 {
		add("cpu", "cpu.idle", "cpu idle", *c.Idle)
	}
	if c.Shares != nil && *c.Shares != 0 {
		add("cpu", "cpu.weight", "--cpu-shares", weight(*c.Shares))
	}
	quota, period := int64(0), uint64(100000)
	if c.Quota != nil {
		quota = *c.Quota
	}
	if c.Period != nil && *c.Period != 0 {
		period = *c.Period
	}
	if c.Quota != nil && *c.Quota != 0 || c.Period != nil && *c.Period != 0 {
		value := "max"
		if quota > 0 {
			value = fmt.Sprint(quota)
		}
		add("cpu", "cpu.max", "--cpus", fmt.Sprintf("%s %d", value, period))
	}
	if c.Burst != nil {
		add("cpu", "cpu.max.burst", "cpu burst", *c.Burst)
	}
	if c.Cpus != "" {
		add("cpuset", "cpuset.cpus", "--cpuset-cpus", c.Cpus)
	}
	if c.Mems != "" {
		add("cpuset", "cpuset.mems", "--cpuset-mems", c.Mems)
	}
	return nil
}

// weight maps version 1's shares (2 to 262144, 1024 by default) onto version
// 2's weights (1 to 10000, 100 by default), by the line all runtimes use.
func weight(shares uint64) uint64 {
	shares = min(max(shares, 2), 262144)
	return 1 + (shares-2)*9999/262142
}

func ioV2(b *specs.LinuxBlockIO, add func(controller, file, option string, value any)) {
	if b == nil {
		return
	}
	if b.Weight != nil && *b.Weight != 0 {
		add("io", "io.bfq.weight", "--blkio-weight", *b.Weight)
	}
	for _, w := range b.WeightDevice {
		if w.Weight != nil {
			add("io", "io.bfq.weight", "--blkio-weight-device", fmt.Sprintf("%d:%d %d", w.Major, w.Minor, *w.Weight))
		}
	}
	throttle := func(key, option string, list []specs.LinuxThrottleDevice) {
		for _, t := range list {
			value := fmt.Sprint(t.Rate)
			if t.Rate == 0 || t.Rate == math.MaxUint64 {
				value = "max"
			}
			add("io", "io.max", option, fmt.Sprintf("%d:%d %s=%s", t.Major, t.Minor, key, value))
		}
	}
	throttle("rbps", "--device-read-bps", b.ThrottleReadBpsDevice)
	throttle("wbps", "--device-write-bps", b.ThrottleWriteBpsDevice)
	throttle("riops", "--device-read-iops", b.ThrottleReadIOPSDevice)
	throttle("wiops", "--device-write-iops", b.ThrottleWriteIOPSDevice)
}

func orMax(v int64) string {
	if v < 0 {
		return "max"
	}
	return fmt.Sprint(v)
}

// pidsMax writes a limit of processes; zero and less is none.
func pidsMax(v int64) string {
	if v <= 0 {
		return "max"
	}
	return fmt.Sprint(v)
}

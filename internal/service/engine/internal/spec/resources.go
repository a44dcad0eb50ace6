package spec

import (
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

const period = 100_000 // microseconds

// Resources converts the limits. Zero means unlimited.
func Resources(r *container.Resources) *specs.LinuxResources {
	out := &specs.LinuxResources{CPU: cpu(r), Memory: memory(r)}
	if r.PidsLimit != nil && *r.PidsLimit > 0 {
		limit := *r.PidsLimit
		out.Pids = &specs.LinuxPids{Limit: &limit}
	}
	if r.BlkioWeight > 0 {
		w := r.BlkioWeight
		out.BlockIO = &specs.LinuxBlockIO{Weight: &w}
	}
	return out
}

// Change converts the limits for a container that runs: what is unlimited now
// may have been limited before, and is said.
func Change(r *container.Resources) *specs.LinuxResources {
	out := Resources(r)
	if r.PidsLimit != nil && *r.PidsLimit <= 0 {
		none := int64(-1)
		out.Pids = &specs.LinuxPids{Limit: &none}
	}
	return out
}

// DefaultSwap is the memory and swap together of a container that was given
// memory only: as much swap as memory, where the kernel counts it.
func DefaultSwap(r *container.Resources) int64 {
	if r.Memory > 0 && r.MemorySwap == 0 && swapLimits() {
		return 2 * r.Memory
	}
	return r.MemorySwap
}

func cpu(r *container.Resources) *specs.LinuxCPU {
	c := &specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}
	if r.CPUShares > 0 {
		v := uint64(r.CPUShares)
		c.Shares = &v
	}
	switch {
	case r.NanoCPUs > 0:
		p, q := uint64(period), r.NanoCPUs*period/1e9
		c.Period, c.Quota = &p, &q
	default:
		if r.CPUQuota != 0 {
			q := r.CPUQuota
			c.Quota = &q
		}
		if r.CPUPeriod != 0 {
			p := uint64(r.CPUPeriod)
			c.Period = &p
		}
	}
	if r.CPURealtimePeriod != 0 {
		p := uint64(r.CPURealtimePeriod)
		c.RealtimePeriod = &p
	}
	if r.CPURealtimeRuntime != 0 {
		v := r.CPURealtimeRuntime
		c.RealtimeRuntime = &v
	}
	if *c == (specs.LinuxCPU{}) {
		return nil
	}
	return c
}

func memory(r *container.Resources) *specs.LinuxMemory {
	m := &specs.LinuxMemory{}
	if r.Memory > 0 {
		v := r.Memory
		m.Limit = &v
	}
	if swap := DefaultSwap(r); swap != 0 {
		m.Swap = &swap
	}
	if r.MemoryReservation > 0 {
		v := r.MemoryReservation
		m.Reservation = &v
	}
	if r.MemorySwappiness != nil && *r.MemorySwappiness >= 0 {
		v := uint64(*r.MemorySwappiness)
		m.Swappiness = &v
	}
	if r.OomKillDisable != nil && *r.OomKillDisable {
		v := true
		m.DisableOOMKiller = &v
	}
	if *m == (specs.LinuxMemory{}) {
		return nil
	}
	return m
}

// swapLimits reports whether the kernel counts swap for each cgroup.
func swapLimits() bool {
	_, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	if err == nil {
		return true
	}
	_, v2 := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return v2 == nil
}

var rlimitNames = [...]string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
	"rtprio", "rttime", "sigpending", "stack",
}

// Rlimits converts --ulimit. -1 is unlimited.
func Rlimits(list []container.Ulimit) ([]specs.POSIXRlimit, error) {
	var out []specs.POSIXRlimit
	for _, u := range list {
		name := strings.ToLower(u.Name)
		if !slices.Contains(rlimitNames[:], name) {
			return nil, errs.New(errs.Invalid, "invalid ulimit type: %s; known are %s", u.Name, strings.Join(rlimitNames[:], ", "))
		}
		if u.Hard != -1 && (u.Soft > u.Hard || u.Soft == -1) {
			return nil, errs.New(errs.Invalid, "ulimit soft limit must be less than or equal to hard limit: %s=%d:%d", name, u.Soft, u.Hard)
		}
		if u.Soft < -1 || u.Hard < -1 {
			return nil, errs.New(errs.Invalid, "invalid ulimit %s=%d:%d", name, u.Soft, u.Hard)
		}
		out = append(out, specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: uint64(u.Soft), Hard: uint64(u.Hard)})
	}
	return out, nil
}

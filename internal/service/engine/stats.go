package engine

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/linux/cgroup"
	"lus/internal/linux/runtime"
	"lus/internal/model/container"
)

// ContainerStats reads once what the container used up to now. One that does
// not run used nothing: only its name and id are told, as Docker does.
func (e *Engine) ContainerStats(ctx context.Context, name string) (*container.Stats, error) {
	u, err := e.find(name)
	if err != nil {
		return nil, err
	}
	rec := u.snapshot()
	out := &container.Stats{Name: "/" + rec.Name, ID: rec.ID}
	if !rec.State.Running() {
		return out, nil
	}
	s, err := e.Runtime.Stats(ctx, rec.ID)
	if errs.Is(err, errs.NotFound) {
		return out, nil // it has just ended
	}
	if err != nil {
		return nil, err
	}
	useOf(out, s)
	if out.CPU.SystemUsage, out.CPU.OnlineCPUs, err = hostCPU(); err != nil {
		return nil, err
	}
	if rec.HostConfig.NetworkMode != "host" {
		out.Networks = interfaces(rec.State.Pid)
	}
	return out, nil
}

// useOf puts the cgroup's counters into Docker's words.
func useOf(out *container.Stats, s *runtime.Stats) {
	out.Read = s.At
	out.Pids = container.PidsStats{Current: s.Pids, Limit: s.PidsLimit}
	out.Blkio = container.BlkioStats{ServiceBytes: blkio(s.IOBytes), Serviced: blkio(s.IOOperations)}
	out.CPU = container.CPUStats{
		Usage:      container.CPUUsage{Total: s.CPUTotal, PerCPU: s.PerCPU, Kernel: s.CPUSystem, User: s.CPUUser},
		Throttling: container.Throttling{Periods: s.Periods, ThrottledPeriods: s.Throttled, ThrottledTime: s.ThrottledNS},
	}
	out.Memory = container.MemoryStats{
		Usage: s.MemoryUsage, MaxUsage: s.MemoryMax, Stats: s.MemoryStat, Failcnt: s.MemoryFailures, Limit: s.MemoryLimit,
	}
}

func blkio(list []cgroup.IO) []container.BlkioEntry {
	var out []container.BlkioEntry
	for _, io := range list {
		out = append(out, container.BlkioEntry(io))
	}
	return out
}

// hostCPU is the processor time of the whole host in nanoseconds, idle time
// included, and how many processors it has.
func hostCPU() (usage uint64, online uint32, err error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	return parseHostCPU(string(data))
}

// parseHostCPU reads /proc/stat: the first seven columns of the line of all
// processors, in hundredths of a second, and a line for each processor.
func parseHostCPU(text string) (usage uint64, online uint32, err error) {
	const columns, tick = 7, 10_000_000
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || !strings.HasPrefix(f[0], "cpu"):
		case f[0] != "cpu":
			online++
		case len(f) <= columns:
			return 0, 0, fmt.Errorf("/proc/stat: too few columns: %q", line)
		default:
			for _, s := range f[1 : columns+1] {
				n, err := strconv.ParseUint(s, 10, 64)
				if err != nil {
					return 0, 0, fmt.Errorf("/proc/stat: %w", err)
				}
				usage += n * tick
			}
		}
	}
	return usage, online, nil
}

// interfaces counts what went over the interfaces of a process's network
// namespace; nil where it has ended.
func interfaces(pid int) map[string]container.NetworkStats {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/dev")
	if err != nil {
		return nil
	}
	return parseInterfaces(string(data))
}

// parseInterfaces reads /proc/net/dev: a name and eight counters each for what
// came in and what went out. The loopback's is nobody's traffic.
func parseInterfaces(text string) map[string]container.NetworkStats {
	out := map[string]container.NetworkStats{}
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		f := strings.Fields(rest)
		if !ok || name == "lo" || len(f) < 12 {
			continue
		}
		n := make([]uint64, len(f))
		for i, s := range f {
			n[i], _ = strconv.ParseUint(s, 10, 64) // the kernel writes numbers
		}
		out[name] = container.NetworkStats{
			RxBytes: n[0], RxPackets: n[1], RxErrors: n[2], RxDropped: n[3],
			TxBytes: n[8], TxPackets: n[9], TxErrors: n[10], TxDropped: n[11],
		}
	}
	return out
}

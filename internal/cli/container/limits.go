package container

import (
	"github.com/spf13/pflag"

	"lus/internal/model/container"
)

// limitFlags are the limits that can be changed while a container runs, as typed:
// flags of run and create, and of update.
type limitFlags struct {
	limits                                      container.Resources // those that are taken as they are
	memory, memorySwap, memoryReservation, cpus string
	pids                                        int64
}

func (l *limitFlags) register(f *pflag.FlagSet) {
	f.Uint16Var(&l.limits.BlkioWeight, "blkio-weight", 0, "Weight of block I/O against other containers (10 to 1000)")
	f.Int64Var(&l.limits.CPUPeriod, "cpu-period", 0, "Period of the CPU limit, in microseconds")
	f.Int64Var(&l.limits.CPUQuota, "cpu-quota", 0, "CPU time per period, in microseconds")
	f.Int64Var(&l.limits.CPURealtimePeriod, "cpu-rt-period", 0, "Period of the real-time limit, in microseconds")
	f.Int64Var(&l.limits.CPURealtimeRuntime, "cpu-rt-runtime", 0, "Real time per period, in microseconds")
	f.Int64VarP(&l.limits.CPUShares, "cpu-shares", "c", 0, "Weight against other containers")
	f.StringVar(&l.cpus, "cpus", "", "Number of CPUs, as 1.5")
	f.StringVar(&l.limits.CpusetCpus, "cpuset-cpus", "", "CPUs to run on, as 0-2 or 0,1")
	f.StringVar(&l.limits.CpusetMems, "cpuset-mems", "", "Memory nodes to use, as 0-1")
	f.StringVarP(&l.memory, "memory", "m", "", "Memory, as 512m or 2g")
	f.StringVar(&l.memoryReservation, "memory-reservation", "", "Memory below which it is left alone")
	f.StringVar(&l.memorySwap, "memory-swap", "", "Memory and swap together; -1 for no limit of swap")
	f.Int64Var(&l.pids, "pids-limit", 0, "Number of processes; -1 for no limit")
}

// resources are the limits, read; set tells which flags were typed.
func (l *limitFlags) resources(set func(flag string) bool) (r container.Resources, err error) {
	r = l.limits
	if r.Memory, err = bytesOf("memory", l.memory); err != nil {
		return r, err
	}
	if r.MemoryReservation, err = bytesOf("memory-reservation", l.memoryReservation); err != nil {
		return r, err
	}
	if r.MemorySwap, err = memorySwap(l.memorySwap); err != nil {
		return r, err
	}
	if set("pids-limit") {
		r.PidsLimit = &l.pids
	}
	r.NanoCPUs, err = nanoCPUs(l.cpus)
	return r, err
}

// memorySwap reads a size, or -1 for no limit.
func memorySwap(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	return bytesOf("memory-swap", s)
}

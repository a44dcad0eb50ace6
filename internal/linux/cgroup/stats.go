package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"lus/internal/base/errs"
)

// Stats are the counters of a group at one moment; times are nanoseconds,
// sizes bytes.
type Stats struct {
	CPUTotal, CPUUser, CPUSystem        uint64
	PerCPU                              []uint64
	Periods, Throttled, ThrottledNS     uint64
	MemoryUsage, MemoryLimit, MemoryMax uint64
	MemoryStat                          map[string]uint64
	OOMKills                            uint64
	Pids, PidsLimit                     uint64
	BlkioRead, BlkioWritten             uint64
}

// Stats reads the group's counters.
func (g *Group) Stats() (*Stats, error) {
	if !g.Exists() {
		return nil, errs.New(errs.NotFound, "cgroup %s does not exist", g.path)
	}
	s := &Stats{}
	read := g.statsV1
	if g.sys.V2() {
		read = g.statsV2
	}
	if err := read(s); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errs.New(errs.NotFound, "cgroup %s does not exist", g.path)
		}
		return nil, err
	}
	if pids := g.dir("pids"); pids != "" {
		s.Pids, _ = number(filepath.Join(pids, "pids.current"))
		s.PidsLimit, _ = number(filepath.Join(pids, "pids.max"))
	}
	if s.MemoryLimit == 0 || unlimited(s.MemoryLimit) {
		s.MemoryLimit = hostMemory()
	}
	return s, nil
}

// tick is the kernel's USER_HZ in nanoseconds, the unit of version 1's cpuacct.stat.
const tick = 10_000_000

func (g *Group) statsV1(s *Stats) error {
	if d := g.dir("cpuacct"); d != "" {
		s.CPUTotal, _ = number(filepath.Join(d, "cpuacct.usage"))
		acct, err := keyed(filepath.Join(d, "cpuacct.stat"))
		if err != nil {
			return err
		}
		s.CPUUser, s.CPUSystem = acct["user"]*tick, acct["system"]*tick
		s.PerCPU = numbers(filepath.Join(d, "cpuacct.usage_percpu"))
	}
	if d := g.dir("cpu"); d != "" {
		stat, err := keyed(filepath.Join(d, "cpu.stat"))
		if err != nil {
			return err
		}
		s.Periods, s.Throttled, s.ThrottledNS = stat["nr_periods"], stat["nr_throttled"], stat["throttled_time"]
	}
	if d := g.dir("memory"); d != "" {
		s.MemoryUsage, _ = number(filepath.Join(d, "memory.usage_in_bytes"))
		s.MemoryLimit, _ = number(filepath.Join(d, "memory.limit_in_bytes"))
		s.MemoryMax, _ = number(filepath.Join(d, "memory.max_usage_in_bytes"))
		var err error
		if s.MemoryStat, err = keyed(filepath.Join(d, "memory.stat")); err != nil {
			return err
		}
		oom, err := keyed(filepath.Join(d, "memory.oom_control"))
		if err != nil {
			return err
		}
		s.OOMKills = oom["oom_kill"]
	}
	if d := g.dir("blkio"); d != "" {
		s.BlkioRead, s.BlkioWritten = blkioV1Bytes(d)
	}
	return nil
}

// blkioV1Bytes adds up lines of "8:0 Read 4096" over all devices.
func blkioV1Bytes(dir string) (read, written uint64) {
	data, err := os.ReadFile(filepath.Join(dir, "blkio.throttle.io_service_bytes_recursive"))
	if err != nil {
		data, _ = os.ReadFile(filepath.Join(dir, "blkio.throttle.io_service_bytes"))
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		n, _ := strconv.ParseUint(f[2], 10, 64)
		switch f[1] {
		case "Read":
			read += n
		case "Write":
			written += n
		}
	}
	return read, written
}

func (g *Group) statsV2(s *Stats) error {
	d := g.dirs()[0]
	cpu, err := keyed(filepath.Join(d, "cpu.stat"))
	if err != nil {
		return err
	}
	const us = 1000
	s.CPUTotal, s.CPUUser, s.CPUSystem = cpu["usage_usec"]*us, cpu["user_usec"]*us, cpu["system_usec"]*us
	s.Periods, s.Throttled, s.ThrottledNS = cpu["nr_periods"], cpu["nr_throttled"], cpu["throttled_usec"]*us
	s.MemoryUsage, _ = number(filepath.Join(d, "memory.current"))
	s.MemoryLimit, _ = number(filepath.Join(d, "memory.max"))
	s.MemoryMax, _ = number(filepath.Join(d, "memory.peak"))
	if s.MemoryStat, err = keyed(filepath.Join(d, "memory.stat")); err != nil {
		return err
	}
	events, err := keyed(filepath.Join(d, "memory.events"))
	if err != nil {
		return err
	}
	s.OOMKills = events["oom_kill"]
	s.BlkioRead, s.BlkioWritten = ioV2Bytes(filepath.Join(d, "io.stat"))
	return nil
}

// ioV2Bytes adds up lines of "8:0 rbytes=1 wbytes=2 ..." over all devices.
func ioV2Bytes(path string) (read, written uint64) {
	data, _ := os.ReadFile(path)
	for field := range strings.FieldsSeq(string(data)) {
		key, value, _ := strings.Cut(field, "=")
		n, _ := strconv.ParseUint(value, 10, 64)
		switch key {
		case "rbytes":
			read += n
		case "wbytes":
			written += n
		}
	}
	return read, written
}

func numbers(path string) []uint64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var out []uint64
	for f := range strings.FieldsSeq(string(data)) {
		if n, err := strconv.ParseUint(f, 10, 64); err == nil {
			out = append(out, n)
		}
	}
	return out
}

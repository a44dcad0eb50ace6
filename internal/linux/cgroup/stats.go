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
	MemoryFailures                      uint64 // how often the limit was met; version 1 only
	MemoryStat                          map[string]uint64
	OOMKills                            uint64
	Pids, PidsLimit                     uint64
	IOBytes, IOOperations               []IO // the latter in version 1 only, as in Docker
}

// IO is what one device did for the group: Op is read, write and, in version 1,
// sync, async, discard or total.
type IO struct {
	Major, Minor uint64
	Op           string
	Value        uint64
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
	// More than there is, is no limit.
	if all := hostMemory(); s.MemoryLimit == 0 || all > 0 && s.MemoryLimit > all {
		s.MemoryLimit = all
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
		s.MemoryFailures, _ = number(filepath.Join(d, "memory.failcnt"))
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
		s.IOBytes = blkioV1Counters(d, "io_service_bytes")
		s.IOOperations = blkioV1Counters(d, "io_serviced")
	}
	return nil
}

// blkioV1Counters reads lines of "8:0 Read 4096"; the line of all devices is
// for the reader to add up.
func blkioV1Counters(dir, counter string) []IO {
	data, err := os.ReadFile(filepath.Join(dir, "blkio.throttle."+counter+"_recursive"))
	if err != nil {
		data, _ = os.ReadFile(filepath.Join(dir, "blkio.throttle."+counter))
	}
	var out []IO
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		n, err := strconv.ParseUint(f[2], 10, 64)
		if err != nil {
			continue
		}
		out = appendIO(out, f[0], strings.ToLower(f[1]), n)
	}
	return out
}

// appendIO adds a counter of the device "8:0".
func appendIO(list []IO, device, op string, value uint64) []IO {
	major, minor, ok := strings.Cut(device, ":")
	a, aerr := strconv.ParseUint(major, 10, 32)
	b, berr := strconv.ParseUint(minor, 10, 32)
	if !ok || aerr != nil || berr != nil {
		return list
	}
	return append(list, IO{Major: a, Minor: b, Op: op, Value: value})
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
	s.IOBytes = ioV2Counters(filepath.Join(d, "io.stat"))
	return nil
}

// ioV2Counters reads lines of "8:0 rbytes=1 wbytes=2 ...".
func ioV2Counters(path string) []IO {
	data, _ := os.ReadFile(path)
	var out []IO
	for line := range strings.Lines(string(data)) {
		device, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		for field := range strings.FieldsSeq(rest) {
			key, value, _ := strings.Cut(field, "=")
			op := map[string]string{"rbytes": "read", "wbytes": "write"}[key]
			if n, err := strconv.ParseUint(value, 10, 64); err == nil && op != "" {
				out = appendIO(out, device, op, n)
			}
		}
	}
	return out
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

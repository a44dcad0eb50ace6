package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
)

func p[T any](v T) *T { return &v }

func TestSettings(t *testing.T) {
	disk := specs.LinuxThrottleDevice{Rate: 1000}
	disk.Major, disk.Minor = 8, 0
	for _, c := range []struct {
		name   string
		r      specs.LinuxResources
		v1, v2 []string
	}{
		{"nothing", specs.LinuxResources{}, nil, nil},
		{
			"memory and swap", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p(int64(100)), Swap: p(int64(150)), Reservation: p(int64(50))}},
			[]string{"memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=150", "memory.soft_limit_in_bytes=50"},
			[]string{"memory.max=100", "memory.swap.max=50", "memory.low=50"},
		},
		{
			"no bound on swap", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p(int64(100)), Swap: p(int64(-1))}},
			[]string{"memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=-1"},
			[]string{"memory.max=100", "memory.swap.max=max"},
		},
		{
			"processors", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: p(int64(150000)), Period: p(uint64(100000)), Shares: p(uint64(1024)), Cpus: "0-1", Mems: "0"}},
			[]string{"cpu.shares=1024", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000", "cpuset.cpus=0-1", "cpuset.mems=0"},
			[]string{"cpu.weight=39", "cpu.max=150000 100000", "cpuset.cpus=0-1", "cpuset.mems=0"},
		},
		{
			"a quota taken away", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: p(int64(-1))}},
			[]string{"cpu.cfs_quota_us=-1"}, []string{"cpu.max=max 100000"},
		},
		{"processes", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p(int64(7))}}, []string{"pids.max=7"}, []string{"pids.max=7"}},
		{"any number of processes", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p(int64(-1))}}, []string{"pids.max=max"}, []string{"pids.max=max"}},
		{
			"disks", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: p(uint16(500)), ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{disk}, ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{disk}}},
			[]string{"blkio.bfq.weight=500", "blkio.throttle.read_bps_device=8:0 1000", "blkio.throttle.write_iops_device=8:0 1000"},
			[]string{"io.bfq.weight=500", "io.max=8:0 rbps=1000", "io.max=8:0 wiops=1000"},
		},
		{"huge pages", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4}}}, []string{"hugetlb.2MB.limit_in_bytes=4"}, []string{"hugetlb.2MB.max=4"}},
	} {
		for version, f := range map[string]func(*specs.LinuxResources) ([]setting, error){"v1": settingsV1, "v2": settingsV2} {
			want := c.v1
			if version == "v2" {
				want = c.v2
			}
			settings, err := f(&c.r)
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, version, err)
			}
			var got []string
			for _, s := range settings {
				got = append(got, s.file+"="+s.value)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: %q, want %q", c.name, version, got, want)
			}
		}
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	for says, r := range map[string]specs.LinuxResources{
		"needs --memory":         {Memory: &specs.LinuxMemory{Swap: p(int64(5))}},
		"not be less":            {Memory: &specs.LinuxMemory{Limit: p(int64(10)), Swap: p(int64(5))}},
		"real-time limits":       {CPU: &specs.LinuxCPU{RealtimeRuntime: p(int64(5))}},
		"network classes need a": {Network: &specs.LinuxNetwork{ClassID: p(uint32(5))}},
	} {
		if _, err := settingsV2(&r); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	if _, err := settingsV1(&specs.LinuxResources{Unified: map[string]string{"memory.max": "1"}}); !errs.Is(err, errs.Unsupported) {
		t.Errorf("version 2 names on version 1: %v", err)
	}
}

func TestWeights(t *testing.T) {
	for shares, want := range map[uint64]uint64{2: 1, 1024: 39, 262144: 10000, 1: 1, 1 << 40: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("weight(%d) = %d, want %d", shares, got, want)
		}
	}
}

// fake is a version 2 tree of plain files.
func fake(t *testing.T, files ...string) *Group {
	t.Helper()
	s := &System{unified: t.TempDir(), prepared: map[string]bool{}}
	g, err := s.Group("a/b")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(g.dirs()[0], 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(g.dirs()[0], f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func TestLimitsAreWritten(t *testing.T) {
	g := fake(t, "memory.max", "pids.max")
	if err := g.Apply(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p(int64(100))}, Pids: &specs.LinuxPids{Limit: p(int64(7))}}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"memory.max": "100", "pids.max": "7"} {
		if got, _ := os.ReadFile(filepath.Join(g.dirs()[0], file)); string(got) != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestAMissingControllerIsAnErrorOnlyForWhoAsks(t *testing.T) {
	g := fake(t, "pids.max")
	if err := g.Apply(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p(int64(7))}}); err != nil {
		t.Error(err)
	}
	err := g.Apply(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p(int64(7))}})
	if !errs.Is(err, errs.Unsupported) || !strings.Contains(err.Error(), "--memory") {
		t.Errorf("got %v", err)
	}
}

func TestStatsOfVersion2(t *testing.T) {
	g := fake(t)
	for file, text := range map[string]string{
		"cpu.stat":       "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1\n",
		"memory.current": "4096\n", "memory.max": "8192\n", "memory.peak": "5000\n",
		"memory.stat":   "anon 1\nfile 2\n",
		"memory.events": "oom 1\noom_kill 5\n",
		"pids.current":  "3\n", "pids.max": "max\n",
		"io.stat":      "8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2\n",
		"cgroup.procs": "",
	} {
		if err := os.WriteFile(filepath.Join(g.dirs()[0], file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.CPUTotal, s.CPUUser, s.CPUSystem, s.Periods, s.Throttled, s.ThrottledNS, s.MemoryUsage, s.MemoryLimit, s.MemoryMax,
		s.MemoryStat, s.OOMKills, s.Pids, s.PidsLimit, s.IOBytes)
	if want := "30000 20000 10000 3 2 1000 4096 8192 5000 map[anon:1 file:2] 5 3 0 [{8 0 read 10} {8 0 write 20} {8 16 read 1} {8 16 write 2}]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMountinfoIsRead(t *testing.T) {
	s := &System{legacy: map[string]string{}, prepared: map[string]bool{}}
	seen := map[string]bool{}
	for _, line := range []string{
		"30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755",
		"31 30 0:27 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw",
		"33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:15 - cgroup cgroup rw,cpu,cpuacct",
		"34 30 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
		"35 30 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
		"nonsense",
	} {
		s.note(line, seen)
	}
	if s.unified != "/sys/fs/cgroup/unified" || len(s.folders) != 2 || s.legacy["cpuacct"] != "/sys/fs/cgroup/cpu,cpuacct" || s.legacy["memory"] == "" {
		t.Errorf("%+v", s)
	}
}

func TestAPathCannotClimb(t *testing.T) {
	s := &System{unified: "/cg"}
	for _, path := range []string{"", "/", "..", "a/.."} {
		if _, err := s.Group(path); err == nil {
			t.Errorf("%q names a cgroup", path)
		}
	}
	g, err := s.Group("../../etc")
	if err != nil || g.dirs()[0] != "/cg/etc" {
		t.Errorf("%v %v", g, err)
	}
}

package spec_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/mounts"
	"lus/internal/service/engine/internal/spec"
)

var update = flag.Bool("update", false, "write the expected files anew")

func ptr[T any](v T) *T { return &v }

func input() *spec.Input {
	return &spec.Input{
		ID:           strings.Repeat("0123456789abcdef", 4),
		Config:       &container.Config{Cmd: container.Strings{"sh", "-c", "true"}, Env: []string{"A=1"}},
		Host:         &container.HostConfig{NetworkMode: "bridge", IpcMode: "private"},
		User:         spec.User{Groups: []uint32{0}, Home: "/root"},
		Cgroup:       "lus-abc/id",
		HostnamePath: "/c/hostname", HostsPath: "/c/hosts", ResolvConfPath: "/c/resolv.conf",
		OwnNetwork: true,
	}
}

// TestGolden compiles one request each and compares with testdata/NAME.json.
// The seccomp profile, long and the library's, is left out; its presence is not.
func TestGolden(t *testing.T) {
	for name, change := range map[string]func(*spec.Input){
		"plain": func(*spec.Input) {},
		"limits": func(in *spec.Input) {
			in.Host.Resources = container.Resources{
				NanoCPUs: 1.5e9 / 2, Memory: 64 << 20, MemorySwap: -1, PidsLimit: ptr[int64](50), CPUShares: 512,
				CpusetCpus: "0", Ulimits: []container.Ulimit{{Name: "nofile", Soft: 10, Hard: -1}},
			}
			in.Host.OomScoreAdj = 100
		},
		"hardened": func(in *spec.Input) {
			in.Host.ReadonlyRootfs = true
			in.Host.CapDrop, in.Host.CapAdd = container.Strings{"ALL"}, container.Strings{"net_bind_service"}
			in.Host.SecurityOpt = []string{"no-new-privileges", "seccomp=unconfined"}
			in.User = spec.User{UID: 1000, GID: 1000, Groups: []uint32{1000, 5}, Home: "/home/u"}
			in.Config.WorkingDir = "/srv/"
		},
		"shared": func(in *spec.Input) {
			in.Host.NetworkMode, in.Host.PidMode, in.Host.IpcMode, in.Host.UTSMode, in.Host.CgroupnsMode = "host", "host", "container:x", "host", "host"
			in.OwnNetwork, in.IpcNS, in.ShmPath = false, "/proc/7/ns/ipc", "/c/shm"
			in.Host.Init = ptr(true)
		},
		"mounts": func(in *spec.Input) {
			in.Config.Tty = true
			in.Mounts = []mounts.Mount{
				{Type: "bind", Source: "/a", Target: "/etc/hosts", ReadOnly: true},
				{Type: "volume", Source: "/v/_data", Target: "/srv/data"},
				{Type: "bind", Source: "/h", Target: "/srv", Propagation: "rslave", NonRecursive: true},
				{Type: "tmpfs", Target: "/run", Options: []string{"size=1m", "exec"}},
				{Type: "tmpfs", Target: "/dev/shm", Options: []string{"size=2m"}},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			change(in)
			s, err := spec.Compile(in)
			if err != nil {
				t.Fatal(err)
			}
			if s.Linux.Seccomp != nil {
				s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: s.Linux.Seccomp.DefaultAction}
			}
			// A host that is no virtual machine has more to hide.
			s.Linux.MaskedPaths = slices.DeleteFunc(s.Linux.MaskedPaths, func(p string) bool { return strings.HasPrefix(p, "/sys/devices/system/cpu/") })
			got, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != string(got)+"\n" {
				t.Errorf("differs from %s (go test -update writes it anew):\n%s", file, got)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	config := func(fn func(*container.Config)) func(*container.Config, *container.HostConfig) {
		return func(c *container.Config, _ *container.HostConfig) { fn(c) }
	}
	host := func(fn func(*container.HostConfig)) func(*container.Config, *container.HostConfig) {
		return func(_ *container.Config, h *container.HostConfig) { fn(h) }
	}
	for what, change := range map[string]func(*container.Config, *container.HostConfig){
		"a relative folder":       config(func(c *container.Config) { c.WorkingDir = "x" }),
		"a hostname with a slash": config(func(c *container.Config) { c.Hostname = "a/b" }),
		"a variable without name": config(func(c *container.Config) { c.Env = []string{"=x"} }),
		"an unknown signal":       config(func(c *container.Config) { c.StopSignal = "SIGNOPE" }),
		"a NUL":                   config(func(c *container.Config) { c.Cmd = container.Strings{"a\x00b"} }),
		"a health interval":       config(func(c *container.Config) { c.Healthcheck = &container.Healthcheck{Interval: 5} }),
		"a kind of health":        config(func(c *container.Config) { c.Healthcheck = &container.Healthcheck{Test: []string{"HTTP", "x"}} }),
		"a pid mode":              host(func(h *container.HostConfig) { h.PidMode = "odd" }),
		"an ipc mode":             host(func(h *container.HostConfig) { h.IpcMode = "container:" }),
		"links on the host's net": host(func(h *container.HostConfig) { h.NetworkMode, h.Links = "host", []string{"db:db"} }),
		"links on no network":     host(func(h *container.HostConfig) { h.NetworkMode, h.Links = "none", []string{"db:db"} }),
		"a DNS server by name":    host(func(h *container.HostConfig) { h.DNS = []string{"dns.example"} }),
		"a line in resolv.conf":   host(func(h *container.HostConfig) { h.DNSSearch = []string{"a\nnameserver 1.2.3.4"} }),
		"a bad extra host":        host(func(h *container.HostConfig) { h.ExtraHosts = []string{"name"} }),
		"a line in hosts":         host(func(h *container.HostConfig) { h.ExtraHosts = []string{"a\nb:1.2.3.4"} }),
		"sctp":                    host(func(h *container.HostConfig) { h.PortBindings = container.PortMap{"80/sctp": {{}}} }),
		"a restart policy":        host(func(h *container.HostConfig) { h.RestartPolicy.Name = "sometimes" }),
		"retries of always": host(func(h *container.HostConfig) {
			h.RestartPolicy = container.RestartPolicy{Name: "always", MaximumRetryCount: 3}
		}),
		"rm and restart":   host(func(h *container.HostConfig) { h.AutoRemove = true; h.RestartPolicy.Name = "always" }),
		"a runtime":        host(func(h *container.HostConfig) { h.Runtime = "kata" }),
		"a storage option": host(func(h *container.HostConfig) { h.StorageOpt = map[string]string{"size": "1g"} }),
		"a log driver":     host(func(h *container.HostConfig) { h.LogConfig.Type = "syslog" }),
		"a log option":     host(func(h *container.HostConfig) { h.LogConfig.Config = map[string]string{"tag": "x"} }),
		"a device by no name": host(func(h *container.HostConfig) {
			h.DeviceRequests = []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"/dev/x"}}}
		}),
		"a count of devices": host(func(h *container.HostConfig) {
			h.DeviceRequests = []container.DeviceRequest{{Driver: "cdi", Count: 1, DeviceIDs: []string{"a.com/b=c"}}}
		}),
		"a GPU":                host(func(h *container.HostConfig) { h.DeviceRequests = []container.DeviceRequest{{Driver: "nvidia"}} }),
		"a capability":         host(func(h *container.HostConfig) { h.CapAdd = container.Strings{"CAP_FLY"} }),
		"a security option":    host(func(h *container.HostConfig) { h.SecurityOpt = []string{"magic=1"} }),
		"an ulimit":            host(func(h *container.HostConfig) { h.Ulimits = []container.Ulimit{{Name: "smiles"}} }),
		"little memory":        host(func(h *container.HostConfig) { h.Memory = 1024 }),
		"swap below memory":    host(func(h *container.HostConfig) { h.Memory, h.MemorySwap = 64<<20, 32<<20 }),
		"too many CPUs":        host(func(h *container.HostConfig) { h.NanoCPUs = 1e15 }),
		"two ways to say CPUs": host(func(h *container.HostConfig) { h.NanoCPUs, h.CPUQuota = 1e9, 5000 }),
		"a device rule":        host(func(h *container.HostConfig) { h.DeviceCgroupRules = []string{"c 1:x rwm"} }),
		"a cpuset":             host(func(h *container.HostConfig) { h.CpusetCpus = "zero" }),
	} {
		c, h := &container.Config{}, &container.HostConfig{}
		if err := spec.Check(c, h); err != nil {
			t.Fatalf("the plain request: %v", err)
		}
		change(c, h)
		err := spec.Check(c, h)
		if err == nil {
			t.Errorf("%s was accepted", what)
		} else if errs.KindOf(err) == errs.Internal {
			t.Errorf("%s: an error without a kind: %v", what, err)
		}
	}
}

func TestSysctls(t *testing.T) {
	for key, ok := range map[string]bool{
		"net.ipv4.ip_forward": true, "kernel.msgmax": true, "fs.mqueue.msg_max": true,
		"kernel.core_pattern": false, "vm.swappiness": false, "net/../kernel/core_pattern": false, "net.x/y": false,
	} {
		in := input()
		in.Host.Sysctls = map[string]string{key: "1"}
		if _, err := spec.Compile(in); (err == nil) != ok {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestDevices(t *testing.T) {
	in := input()
	in.Host.Devices = []container.Device{{PathOnHost: "/dev/zero", PathInContainer: "/dev/nothing", CgroupPermissions: "r"}}
	s, err := spec.Compile(in)
	if err != nil {
		t.Fatal(err)
	}
	last := s.Linux.Devices[len(s.Linux.Devices)-1]
	rule := s.Linux.Resources.Devices[len(s.Linux.Resources.Devices)-1]
	if last.Path != "/dev/nothing" || last.Major != 1 || last.Minor != 5 || rule.Access != "r" || !rule.Allow || *rule.Minor != 5 {
		t.Errorf("%+v %+v", last, rule)
	}
	in.Host.Devices[0].PathOnHost = "/etc/passwd"
	if _, err := spec.Compile(in); err == nil {
		t.Error("a file was taken for a device")
	}
}

func TestWithEnv(t *testing.T) {
	got := spec.WithEnv([]string{"A=1", "B=2", "C=3"}, []string{"B=x", "C", "D=4", "E"})
	if !slices.Equal(got, []string{"A=1", "B=x", "D=4"}) {
		t.Errorf("%v", got)
	}
}

func TestLogOptions(t *testing.T) {
	log, err := spec.Log(container.LogConfig{Config: map[string]string{"max-size": "10m", "max-file": "3", "mode": "non-blocking", "compress": "false"}})
	if err != nil || log.MaxSize != 10<<20 || log.MaxFiles != 3 || !log.Drop {
		t.Errorf("%+v %v", log, err)
	}
	if log, err := spec.Log(container.LogConfig{Type: "local"}); err != nil || log.MaxSize != 20<<20 {
		t.Errorf("local: %+v %v", log, err)
	}
	if log, err := spec.Log(container.LogConfig{Type: spec.NoLog}); err != nil || log.MaxSize == 0 || log.MaxFiles != 2 {
		t.Errorf("none: %+v %v, want a short window", log, err)
	}
	for _, bad := range []map[string]string{{"max-size": "-1"}, {"max-size": "10x"}, {"max-size": "99999999999999g"}, {"max-file": "0"}, {"mode": "odd"}, {"compress": "true"}, {"compress": "odd"}, {"tag": "x"}} {
		if _, err := spec.Log(container.LogConfig{Config: bad}); err == nil {
			t.Errorf("%v accepted", bad)
		}
	}
}

package docker

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/version"
)

// hostFacts are what GET /info tells of this host and of the API itself.
func (h *handler) hostFacts() (map[string]any, error) {
	var sys unix.Sysinfo_t
	if err := unix.Sysinfo(&sys); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	// Docker's clients show these; there is nothing of the kind here.
	none := map[string]string{"ID": "N/A"}
	facts := map[string]any{
		"Name": host, "OperatingSystem": system(), "OSVersion": release("VERSION_ID"), "MemTotal": sys.Totalram * uint64(sys.Unit),
		"ServerVersion": version.String(), "KernelVersion": kernel(), "OSType": runtime.GOOS,
		"Architecture": machine(), "NCPU": runtime.NumCPU(), "SystemTime": time.Now().Format(time.RFC3339Nano),
		"NFd": len(files), "NGoroutines": runtime.NumGoroutine(), "NEventsListener": h.listeners.Load(), "Debug": false,
		"DriverStatus": [][2]string{}, "IPv4Forwarding": forwards(),
		"IndexServerAddress": "https://index.docker.io/v1/", "RegistryConfig": registryConfig(),
		"HttpProxy": os.Getenv("HTTP_PROXY"), "HttpsProxy": os.Getenv("HTTPS_PROXY"), "NoProxy": os.Getenv("NO_PROXY"),
		"Swarm":   map[string]any{"LocalNodeState": "inactive", "NodeID": "", "NodeAddr": "", "ControlAvailable": false, "Error": "", "RemoteManagers": nil},
		"Plugins": map[string]any{"Volume": []string{"local"}, "Network": []string{"bridge", "host", "ipvlan", "macvlan", "null"}, "Log": []string{"lus"}},
		"Labels":  []string{}, "GenericResources": nil, "ExperimentalBuild": false, "LiveRestoreEnabled": true, "Isolation": "", "ProductLicense": "",
		"InitBinary": "lus-init", "InitCommit": none, "RuncCommit": none, "ContainerdCommit": none,
		"Runtimes": map[string]any{"lus": map[string]string{"path": "lus-keeper"}},
	}
	for k, v := range limits() {
		facts[k] = v
	}
	return facts, nil
}

// registryConfig says that loopback registries may speak plain HTTP.
func registryConfig() map[string]any {
	hub := map[string]any{"Name": "docker.io", "Mirrors": []string{}, "Secure": true, "Official": true}
	return map[string]any{
		"IndexConfigs": map[string]any{"docker.io": hub}, "InsecureRegistryCIDRs": []string{"::1/128", "127.0.0.0/8"}, "Mirrors": nil,
	}
}

const cgroups = "/sys/fs/cgroup"

// limits are what this kernel's cgroups can limit.
func limits() map[string]any {
	var fs unix.Statfs_t
	if unix.Statfs(cgroups, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		has := map[string]bool{}
		for _, c := range strings.Fields(read(filepath.Join(cgroups, "cgroup.controllers"))) {
			has[c] = true
		}
		return map[string]any{
			"CgroupVersion": "2", "CgroupDriver": "cgroupfs", "MemoryLimit": has["memory"], "SwapLimit": has["memory"], "OomKillDisable": false,
			"CpuCfsPeriod": has["cpu"], "CpuCfsQuota": has["cpu"], "CPUShares": has["cpu"], "CPUSet": has["cpuset"], "PidsLimit": has["pids"],
		}
	}
	there := func(file string) bool {
		_, err := os.Stat(filepath.Join(cgroups, file))
		return err == nil
	}
	return map[string]any{
		"CgroupVersion": "1", "CgroupDriver": "cgroupfs", "MemoryLimit": there("memory/memory.limit_in_bytes"),
		"SwapLimit": there("memory/memory.memsw.limit_in_bytes"), "OomKillDisable": there("memory/memory.oom_control"),
		"CpuCfsPeriod": there("cpu/cpu.cfs_period_us"), "CpuCfsQuota": there("cpu/cpu.cfs_quota_us"), "CPUShares": there("cpu/cpu.shares"),
		"CPUSet": there("cpuset/cpuset.cpus"), "PidsLimit": there("pids"),
	}
}

// forwards tells whether this host forwards IPv4, be it on some interfaces alone, as our
// networks have it.
func forwards() bool {
	files, _ := filepath.Glob("/proc/sys/net/ipv4/conf/*/forwarding") // fails only for a bad pattern
	return slices.ContainsFunc(files, func(file string) bool { return read(file) == "1" })
}

func read(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// release is a field of the host's os-release.
func release(key string) string {
	for line := range strings.Lines(read("/etc/os-release")) {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return ""
}

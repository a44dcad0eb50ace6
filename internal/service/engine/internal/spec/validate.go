package spec

import (
	"net"
	"net/netip"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/moby/sys/signal"

	"lus/internal/base/errs"
	"lus/internal/linux/ociruntime"
	"lus/internal/model/container"
)

func invalid(format string, args ...any) error { return errs.New(errs.Invalid, format, args...) }

func unsupported(format string, args ...any) error {
	return errs.New(errs.Unsupported, format, args...)
}

// Check refuses a request that makes no sense or that cannot be honoured,
// before anything is made for it.
func Check(c *container.Config, h *container.HostConfig) error {
	for _, check := range []func(*container.Config, *container.HostConfig) error{
		checkConfig, checkHealth, checkModes, checkNetwork, checkPorts, checkRestart, checkMisc,
	} {
		if err := check(c, h); err != nil {
			return err
		}
	}
	if err := CheckResources(&h.Resources); err != nil {
		return err
	}
	if _, err := BlockIO(&h.Resources); err != nil {
		return err
	}
	caps, err := Caps(h)
	if err != nil {
		return err
	}
	opt, err := SecurityOpt(h.SecurityOpt)
	if err != nil {
		return err
	}
	if err := checkSeccomp(opt.Seccomp, caps); err != nil {
		return err
	}
	_, err = Rlimits(h.Ulimits)
	return err
}

// CheckUpdate refuses limits and a restart policy that a container cannot have.
func CheckUpdate(h *container.HostConfig) error {
	if err := checkRestart(nil, h); err != nil {
		return err
	}
	return CheckResources(&h.Resources)
}

func checkConfig(c *container.Config, _ *container.HostConfig) error {
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		return invalid("the working directory '%s' is invalid, it needs to be an absolute path", c.WorkingDir)
	}
	if len(c.Hostname) > 64 || strings.ContainsAny(c.Hostname, "/ \t\n\x00") {
		return invalid("invalid hostname %q: at most 64 letters, digits, dots and hyphens", c.Hostname)
	}
	for _, kv := range c.Env {
		if kv == "" || kv[0] == '=' || strings.ContainsRune(kv, 0) {
			return invalid("invalid environment variable: %q", kv)
		}
	}
	for _, a := range slices.Concat([]string(c.Entrypoint), []string(c.Cmd)) {
		if strings.ContainsRune(a, 0) {
			return invalid("an argument contains a NUL byte")
		}
	}
	if c.StopSignal != "" {
		if _, err := signal.ParseSignal(c.StopSignal); err != nil {
			return invalid("Invalid signal: %s", c.StopSignal)
		}
	}
	for p := range c.ExposedPorts {
		if _, err := container.ParsePort(p); err != nil {
			return errs.With(errs.Invalid, err)
		}
	}
	return nil
}

func checkHealth(c *container.Config, _ *container.HostConfig) error {
	hc := c.Healthcheck
	if hc == nil {
		return nil
	}
	for _, d := range []struct {
		name  string
		value int64
	}{
		{"Interval", int64(hc.Interval)}, {"Timeout", int64(hc.Timeout)},
		{"StartPeriod", int64(hc.StartPeriod)}, {"StartInterval", int64(hc.StartInterval)},
	} {
		if d.value != 0 && d.value < 1e6 {
			return invalid("%s in Healthcheck cannot be less than 1ms", d.name)
		}
	}
	if hc.Retries < 0 {
		return invalid("Retries in Healthcheck cannot be negative")
	}
	if len(hc.Test) == 0 {
		return nil
	}
	switch hc.Test[0] {
	case "NONE":
	case "CMD", "CMD-SHELL":
		if len(hc.Test) < 2 || hc.Test[0] == "CMD-SHELL" && len(hc.Test) != 2 {
			return invalid("healthcheck %s needs a command", hc.Test[0])
		}
	default:
		return invalid("unknown healthcheck type %q: use CMD, CMD-SHELL or NONE", hc.Test[0])
	}
	return nil
}

func checkModes(_ *container.Config, h *container.HostConfig) error {
	oneOf := func(what, value string, allowed ...string) error {
		if value != "container:" && slices.Contains(allowed, value) || slices.Contains(allowed, "container:") && strings.HasPrefix(value, "container:") && len(value) > len("container:") {
			return nil
		}
		return invalid("invalid %s mode: %s", what, value)
	}
	if err := oneOf("PID", h.PidMode, "", "host", "container:"); err != nil {
		return err
	}
	if err := oneOf("IPC", h.IpcMode, "", "none", "private", "shareable", "host", "container:"); err != nil {
		return err
	}
	if err := oneOf("UTS", h.UTSMode, "", "host"); err != nil {
		return err
	}
	if err := oneOf("cgroup namespace", h.CgroupnsMode, "", "private", "host"); err != nil {
		return err
	}
	if err := oneOf("user namespace", h.UsernsMode, "", "host"); err != nil {
		return err
	}
	if h.Isolation != "" && h.Isolation != "default" {
		return invalid("invalid isolation %q: only default exists on Linux", h.Isolation)
	}
	return nil
}

func checkNetwork(c *container.Config, h *container.HostConfig) error {
	shared := strings.HasPrefix(h.NetworkMode, "container:")
	switch {
	case h.NetworkMode == "container:":
		return invalid("invalid network mode: the container whose network to join is missing")
	case shared && c.Hostname != "":
		return invalid("conflicting options: hostname and the network mode")
	case shared && len(h.ExtraHosts) > 0:
		return invalid("conflicting options: custom host-to-IP mapping and the network mode")
	case shared && len(h.DNS) > 0:
		return invalid("conflicting options: dns and the network mode")
	case shared && (len(h.PortBindings) > 0 || h.PublishAllPorts):
		return invalid("conflicting options: port publishing and the container type network mode")
	case h.UTSMode == "host" && c.Hostname != "":
		return invalid("conflicting options: hostname and the UTS mode")
	case shared && len(h.Links) > 0:
		return invalid("conflicting options: container type network can't be used with links. This would result in undefined behavior")
	case h.NetworkMode == "host" && len(h.Links) > 0:
		return invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
	case h.NetworkMode == "none" && len(h.Links) > 0:
		return invalid("conflicting options: a container without a network reaches nobody, so it cannot be linked to others")
	}
	for _, d := range h.DNS {
		if _, err := netip.ParseAddr(d); err != nil {
			return invalid("invalid DNS server %q: it must be an IP address", d)
		}
	}
	for _, s := range slices.Concat(h.DNSSearch, h.DNSOptions) {
		if strings.ContainsAny(s, "\n\r\x00") {
			return invalid("invalid DNS search or option %q", s)
		}
	}
	for _, e := range h.ExtraHosts {
		name, addr, ok := strings.Cut(e, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t\n\r\x00") {
			return invalid("bad format for add-host: %q", e)
		}
		if addr = strings.Trim(addr, "[]"); addr != "host-gateway" && net.ParseIP(addr) == nil {
			return invalid("invalid IP address in add-host: %q", addr)
		}
	}
	return nil
}

func checkPorts(_ *container.Config, h *container.HostConfig) error {
	ports, err := h.PortBindings.Published()
	if err != nil {
		return errs.With(errs.Invalid, err)
	}
	for _, p := range ports {
		if p.Proto == "sctp" {
			return unsupported("publishing sctp ports is not supported: %s", p.Port)
		}
	}
	return nil
}

func checkRestart(_ *container.Config, h *container.HostConfig) error {
	p := h.RestartPolicy
	switch p.Name {
	case "", "no", "always", "unless-stopped":
		if p.MaximumRetryCount != 0 {
			return invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'")
		}
	case "on-failure":
		if p.MaximumRetryCount < 0 {
			return invalid("invalid restart policy: maximum retry count cannot be negative")
		}
	default:
		return invalid("invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", p.Name)
	}
	if h.AutoRemove && p.Name != "" && p.Name != "no" {
		return invalid("can't create 'AutoRemove' container with restart policy")
	}
	return nil
}

func checkMisc(_ *container.Config, h *container.HostConfig) error {
	switch {
	case h.OomScoreAdj < -1000 || h.OomScoreAdj > 1000:
		return invalid("Invalid value %d, range for oom score adj is [-1000, 1000]", h.OomScoreAdj)
	case h.ShmSize < 0:
		return invalid("SHM size can not be less than 0")
	case h.VolumeDriver != "" && h.VolumeDriver != "local":
		return errs.New(errs.NotFound, "error looking up volume plugin %s: plugin %q not found; Lus has the driver local", h.VolumeDriver, h.VolumeDriver)
	case len(h.StorageOpt) > 0:
		return unsupported("--storage-opt is not supported: the writable layer has no size limit of its own")
	case h.Cgroup != "":
		return unsupported("--cgroup is not supported")
	case h.CgroupParent != "":
		return unsupported("--cgroup-parent is not supported: containers stand in a cgroup of this daemon")
	}
	for _, r := range h.DeviceRequests {
		if err := checkRequest(r); err != nil {
			return err
		}
	}
	for _, d := range h.Devices {
		if d.CgroupPermissions != "" && !Access(d.CgroupPermissions) {
			return invalid("invalid device permissions %q for %s: use a combination of r, w and m", d.CgroupPermissions, d.PathOnHost)
		}
	}
	for _, r := range h.DeviceCgroupRules {
		if _, err := ParseDeviceRule(r); err != nil {
			return err
		}
	}
	if err := checkRuntime(h); err != nil {
		return err
	}
	return checkLog(h.LogConfig)
}

// checkRuntime: one that is not ours must be on this host.
func checkRuntime(h *container.HostConfig) error {
	if err := ociruntime.Check(h.Runtime); err != nil {
		return err
	}
	_, err := ociruntime.Name(h.Runtime)
	return err
}

// CheckResources refuses limits that the kernel would not take or that contradict each other.
func CheckResources(r *container.Resources) error {
	switch {
	case r.Memory != 0 && r.Memory < 6<<20:
		return invalid("Minimum memory limit allowed is 6MB")
	case r.Memory > 0 && r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	case r.Memory == 0 && r.MemorySwap > 0:
		return invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	case r.Memory > 0 && r.MemoryReservation > r.Memory:
		return invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
	case r.MemoryReservation != 0 && r.MemoryReservation < 6<<20:
		return invalid("Minimum memory reservation allowed is 6MB")
	case r.MemorySwappiness != nil && (*r.MemorySwappiness < -1 || *r.MemorySwappiness > 100):
		return invalid("Invalid value: %d, valid memory swappiness range is 0-100", *r.MemorySwappiness)
	case r.NanoCPUs > 0 && r.CPUPeriod != 0:
		return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
	case r.NanoCPUs > 0 && r.CPUQuota != 0:
		return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
	case r.NanoCPUs != 0 && (r.NanoCPUs < 1e7 || r.NanoCPUs > int64(runtime.NumCPU())*1e9):
		return invalid("range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", runtime.NumCPU(), runtime.NumCPU())
	case r.CPUPeriod != 0 && (r.CPUPeriod < 1000 || r.CPUPeriod > 1000000):
		return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	case r.CPUQuota > 0 && r.CPUQuota < 1000:
		return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
	case r.CPUShares < 0:
		return invalid("invalid CPU shares (%d): value must be a positive integer", r.CPUShares)
	case r.BlkioWeight != 0 && (r.BlkioWeight < 10 || r.BlkioWeight > 1000):
		return invalid("range of blkio weight is from 10 to 1000")
	}
	for _, set := range []string{r.CpusetCpus, r.CpusetMems} {
		if strings.Trim(set, "0123456789,-") != "" {
			return invalid("invalid value %s for cpuset", set)
		}
	}
	return nil
}

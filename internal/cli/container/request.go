package container

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"tags.cncf.io/container-device-interface/pkg/parser"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// request is the create request that the flags and arguments stand for.
func (o *options) request(args []string) (*container.CreateRequest, error) {
	req := &container.CreateRequest{HostConfig: &container.HostConfig{}}
	req.Image = args[0]
	if len(args) > 1 {
		req.Cmd = args[1:]
	}
	for _, fill := range []func(*container.CreateRequest) error{o.fillProcess, o.fillLimits, o.fillSecurity, o.fillMounts, o.fillPorts, o.fillNetworks, o.fillHealth} {
		if err := fill(req); err != nil {
			return nil, err
		}
	}
	return req, nil
}

func invalid(format string, args ...any) error { return errs.New(errs.Invalid, format, args...) }

func (o *options) fillProcess(req *container.CreateRequest) (err error) {
	c, h := &req.Config, req.HostConfig
	c.Hostname, c.Domainname, c.User, c.WorkingDir = o.hostname, o.domainname, o.user, o.workdir
	c.Tty, c.OpenStdin, c.StopSignal = o.tty, o.interactive, o.stopSignal
	if err := o.attached(c); err != nil {
		return err
	}
	if c.Env, err = environment(o.envFiles, o.env); err != nil {
		return err
	}
	if c.Labels, err = labels(o.labelFiles, o.labels); err != nil {
		return err
	}
	switch {
	case o.entrypoint != "":
		c.Entrypoint = container.Strings{o.entrypoint}
	case o.set("entrypoint"):
		c.Entrypoint = container.Strings{""} // an empty one takes the image's away
	}
	if o.set("stop-timeout") {
		c.StopTimeout = &o.stopTimeout
	}
	h.AutoRemove, h.ContainerIDFile, h.Runtime = o.remove, o.cidFile, o.runtime
	if o.set("init") {
		h.Init = &o.init
	}
	if h.RestartPolicy, err = restartPolicy(o.restart); err != nil {
		return err
	}
	if o.remove && h.RestartPolicy.Name != "no" && h.RestartPolicy.Name != "" {
		return invalid("conflicting options: cannot specify both --restart and --rm")
	}
	if h.Annotations, err = pairs("annotation", o.annotations); err != nil {
		return err
	}
	if o.restartUnhealthy {
		if h.Annotations == nil {
			h.Annotations = map[string]string{}
		}
		h.Annotations[container.RestartUnhealthy] = "true"
	}
	if h.LogConfig.Config, err = pairs("log-opt", o.logOpts); err != nil {
		return err
	}
	h.LogConfig.Type = o.logDriver
	if o.logDriver == "none" && len(o.logOpts) > 0 {
		return invalid("invalid logging opts for driver none")
	}
	return nil
}

// attached says which streams the client joins.
func (o *options) attached(c *container.Config) error {
	for _, a := range o.attach {
		switch strings.ToLower(a) {
		case "stdin":
			c.AttachStdin = true
		case "stdout":
			c.AttachStdout = true
		case "stderr":
			c.AttachStderr = true
		default:
			return invalid("valid streams are STDIN, STDOUT and STDERR, not %q", a)
		}
	}
	if len(o.attach) == 0 {
		c.AttachStdout, c.AttachStderr, c.AttachStdin = true, true, o.interactive
	}
	c.StdinOnce = c.OpenStdin && c.AttachStdin
	return nil
}

func restartPolicy(s string) (container.RestartPolicy, error) {
	name, count, has := strings.Cut(s, ":")
	p := container.RestartPolicy{Name: name}
	if has && name == "" {
		return p, invalid("invalid restart policy format: no policy provided before colon")
	}
	if has {
		n, err := strconv.Atoi(count)
		if err != nil {
			return p, invalid("invalid restart policy format: maximum retry count must be an integer")
		}
		p.MaximumRetryCount = n
	}
	return p, nil
}

func bytesOf(flag, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := units.RAMInBytes(s)
	if err != nil {
		return 0, invalid("invalid argument %q for --%s: %v; write it as 512m or 2g", s, flag, err)
	}
	return n, nil
}

func (o *options) fillLimits(req *container.CreateRequest) (err error) {
	h := req.HostConfig
	if h.Resources, err = o.resources(o.set); err != nil {
		return err
	}
	if h.ShmSize, err = bytesOf("shm-size", o.shmSize); err != nil {
		return err
	}
	if o.swappiness != -1 {
		if o.swappiness < 0 || o.swappiness > 100 {
			return invalid("invalid value: %d. Valid memory swappiness range is 0-100", o.swappiness)
		}
		h.MemorySwappiness = &o.swappiness
	}
	if o.set("oom-kill-disable") {
		h.OomKillDisable = &o.oomKillDisable
	}
	h.OomScoreAdj, h.CgroupParent = o.oomScore, o.cgroupParent
	for _, u := range o.ulimits {
		l, err := units.ParseUlimit(u)
		if err != nil {
			return invalid("invalid --ulimit %q: %v", u, err)
		}
		h.Ulimits = append(h.Ulimits, container.Ulimit{Name: l.Name, Soft: l.Soft, Hard: l.Hard})
	}
	slices.SortFunc(h.Ulimits, func(a, b container.Ulimit) int { return strings.Compare(a.Name, b.Name) })
	if err := o.fillBlkio(h); err != nil {
		return err
	}
	h.StorageOpt, err = pairs("storage-opt", o.storage)
	return err
}

// nanoCPUs reads a number of CPUs exactly.
func nanoCPUs(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, invalid("invalid argument %q for --cpus: write it as 0.5 or 2", s)
	}
	r.Mul(r, big.NewRat(1e9, 1))
	if !r.IsInt() || !r.Num().IsInt64() {
		return 0, invalid("value is too precise: --cpus %s", s)
	}
	return r.Num().Int64(), nil
}

func (o *options) fillSecurity(req *container.CreateRequest) (err error) {
	h := req.HostConfig
	h.Privileged, h.ReadonlyRootfs, h.GroupAdd = o.privileged, o.readOnly, o.groups
	h.CapAdd, h.CapDrop = capabilities(o.capAdd), capabilities(o.capDrop)
	h.PidMode, h.IpcMode, h.UTSMode, h.UsernsMode, h.CgroupnsMode = o.pid, o.ipc, o.uts, o.userns, o.cgroupns
	if h.Sysctls, err = pairs("sysctl", o.sysctls); err != nil {
		return err
	}
	for _, s := range o.security {
		key, value, has := cutAny(s, "=:")
		switch {
		case s == "no-new-privileges":
		case !has:
			return invalid("invalid --security-opt: %q", s)
		case key == "seccomp" && value != "unconfined" && value != "builtin":
			// The profile is a file of the person who types this.
			profile, err := os.ReadFile(value)
			if err != nil {
				return invalid("opening seccomp profile (%s) failed: %v", value, err)
			}
			if !json.Valid(profile) {
				return invalid("the seccomp profile %s is not JSON", value)
			}
			s = "seccomp=" + string(profile)
		case s == "systempaths=unconfined":
			h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
			continue
		}
		h.SecurityOpt = append(h.SecurityOpt, s)
	}
	h.DeviceCgroupRules = o.deviceRules
	var named []string
	for _, d := range o.devices {
		if parser.IsQualifiedName(d) {
			named = append(named, d)
			continue
		}
		dev, err := device(d)
		if err != nil {
			return err
		}
		h.Devices = append(h.Devices, dev)
	}
	if len(named) > 0 {
		h.DeviceRequests = []container.DeviceRequest{{Driver: "cdi", DeviceIDs: named}}
	}
	for _, text := range o.gpus {
		r, err := gpuRequest(text)
		if err != nil {
			return err
		}
		h.DeviceRequests = append(h.DeviceRequests, r)
	}
	return nil
}

// capabilities writes capabilities by their full names, each once.
func capabilities(list []string) []string {
	var out []string
	for _, c := range list {
		c = strings.ToUpper(strings.TrimSpace(c))
		if c != "ALL" && !strings.HasPrefix(c, "CAP_") {
			c = "CAP_" + c
		}
		out = append(out, c)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func cutAny(s, chars string) (before, after string, ok bool) {
	i := strings.IndexAny(s, chars)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// device reads path[:path inside][:rwm].
func device(s string) (container.Device, error) {
	parts := strings.Split(s, ":")
	d := container.Device{PathOnHost: parts[0], PathInContainer: parts[0], CgroupPermissions: "rwm"}
	permissions := func(p string) bool {
		return p != "" && len(p) <= 3 && strings.Trim(p, "rwm") == ""
	}
	switch {
	case len(parts) > 3 || parts[0] == "":
		return d, invalid("invalid device specification: %s", s)
	case len(parts) == 3:
		if !permissions(parts[2]) {
			return d, invalid("invalid device specification: %s: the last part is of r, w and m", s)
		}
		d.CgroupPermissions = parts[2]
	}
	if len(parts) > 1 {
		if len(parts) == 2 && permissions(parts[1]) {
			d.CgroupPermissions = parts[1]
		} else {
			d.PathInContainer = parts[1]
		}
	}
	if !strings.HasPrefix(d.PathInContainer, "/") {
		return d, invalid("%s is not an absolute path", d.PathInContainer)
	}
	return d, nil
}

func (o *options) fillHealth(req *container.CreateRequest) error {
	if o.noHealth {
		if o.healthCmd != "" || o.healthInterval != "" || o.healthTimeout != "" || o.healthStart != "" || o.healthStartI != "" || o.healthRetries != 0 {
			return invalid("--no-healthcheck conflicts with --health-* options")
		}
		req.Healthcheck = &container.Healthcheck{Test: []string{"NONE"}}
		return nil
	}
	h := &container.Healthcheck{Retries: o.healthRetries}
	if o.healthRetries < 0 {
		return invalid("--health-retries cannot be negative")
	}
	any := o.healthCmd != "" || o.healthRetries != 0
	if o.healthCmd != "" {
		h.Test = []string{"CMD-SHELL", o.healthCmd}
	}
	for flag, to := range map[string]struct {
		text string
		to   *time.Duration
	}{
		"health-interval": {o.healthInterval, &h.Interval}, "health-timeout": {o.healthTimeout, &h.Timeout},
		"health-start-period": {o.healthStart, &h.StartPeriod}, "health-start-interval": {o.healthStartI, &h.StartInterval},
	} {
		if to.text == "" {
			continue
		}
		d, err := time.ParseDuration(to.text)
		if err != nil {
			return invalid("invalid argument %q for --%s: write it as 30s or 1m30s", to.text, flag)
		}
		if d < 0 {
			return invalid("--%s cannot be negative", flag)
		}
		*to.to, any = d, any || d != 0
	}
	if any {
		req.Healthcheck = h
	}
	return nil
}

// pairs reads key=value flags; nil where there are none.
func pairs(flag string, list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, s := range list {
		key, value, _ := strings.Cut(s, "=")
		if key == "" {
			return nil, fmt.Errorf("invalid --%s %q: write key=value", flag, s)
		}
		out[key] = value
	}
	return out, nil
}

package spec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"tags.cncf.io/container-device-interface/pkg/parser"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// devices fills in the nodes of /dev beyond the usual ones and the rules that
// say which may be used.
func devices(s *specs.Spec, h *container.HostConfig) error {
	if h.Privileged {
		nodes, err := hostDevices("/dev", "/dev")
		if err != nil {
			return err
		}
		s.Linux.Devices = nodes
		s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	for _, d := range h.Devices {
		nodes, err := deviceOf(d)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			s.Linux.Devices = append(s.Linux.Devices, n)
			major, minor := n.Major, n.Minor
			s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
				Allow: true, Type: n.Type, Major: &major, Minor: &minor, Access: d.CgroupPermissions})
		}
	}
	for _, rule := range h.DeviceCgroupRules {
		r, err := ParseDeviceRule(rule)
		if err != nil {
			return err
		}
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, r)
	}
	return nil
}

func deviceOf(d container.Device) ([]specs.LinuxDevice, error) {
	in := d.PathInContainer
	if in == "" {
		in = d.PathOnHost
	}
	real, err := filepath.EvalSymlinks(d.PathOnHost)
	if err != nil {
		return nil, errs.New(errs.Invalid, "error gathering device information while adding custom device %q: no such file or directory", d.PathOnHost)
	}
	st, err := os.Stat(real)
	if err != nil {
		return nil, errs.New(errs.Invalid, "error gathering device information while adding custom device %q: %w", d.PathOnHost, err)
	}
	if st.IsDir() {
		nodes, err := hostDevices(real, in)
		if err == nil && len(nodes) == 0 {
			err = errs.New(errs.Invalid, "error gathering device information while adding custom device %q: no device inside", d.PathOnHost)
		}
		return nodes, err
	}
	n, ok := node(real, in)
	if !ok {
		return nil, errs.New(errs.Invalid, "error gathering device information while adding custom device %q: not a device node", d.PathOnHost)
	}
	return []specs.LinuxDevice{n}, nil
}

func node(name, in string) (specs.LinuxDevice, bool) {
	var st unix.Stat_t
	if unix.Lstat(name, &st) != nil {
		return specs.LinuxDevice{}, false
	}
	d := specs.LinuxDevice{Path: in, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)), UID: &st.Uid, GID: &st.Gid}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		d.Type = "c"
	case unix.S_IFBLK:
		d.Type = "b"
	default:
		return d, false
	}
	mode := os.FileMode(st.Mode & 0o7777)
	d.FileMode = &mode
	return d, true
}

// hostDevices lists the nodes below dir, to be had below in. Terminals, shared
// memory and the like are the container's own.
func hostDevices(dir, in string) ([]specs.LinuxDevice, error) {
	var out []specs.LinuxDevice
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // a device that went away meanwhile
		}
		if err != nil || d == nil || d.Name() == "console" {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev":
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if n, ok := node(name, filepath.Join(in, rel)); ok {
			out = append(out, n)
		}
		return nil
	})
	return out, err
}

// ParseDeviceRule reads "c 1:3 rwm", with * for any number.
func ParseDeviceRule(s string) (specs.LinuxDeviceCgroup, error) {
	bad := func() (specs.LinuxDeviceCgroup, error) {
		return specs.LinuxDeviceCgroup{}, errs.New(errs.Invalid, "invalid device cgroup rule format: '%s'", s)
	}
	f := strings.Fields(s)
	if len(f) != 3 || f[0] != "a" && f[0] != "b" && f[0] != "c" || !Access(f[2]) {
		return bad()
	}
	r := specs.LinuxDeviceCgroup{Allow: true, Type: f[0], Access: f[2]}
	major, minor, ok := strings.Cut(f[1], ":")
	if !ok {
		return bad()
	}
	for _, n := range []struct {
		text string
		to   **int64
	}{{major, &r.Major}, {minor, &r.Minor}} {
		if n.text == "*" {
			continue
		}
		v, err := strconv.ParseInt(n.text, 10, 32)
		if err != nil || v < 0 {
			return bad()
		}
		*n.to = &v
	}
	return r, nil
}

// Access reports whether s is made of r, w and m, each at most once.
func Access(s string) bool {
	return s != "" && strings.Trim(s, "rwm") == "" && strings.Count(s, "r") < 2 && strings.Count(s, "w") < 2 && strings.Count(s, "m") < 2
}

// driverCDI is the driver of devices that have names.
const driverCDI = "cdi"

// Named are the devices that are asked for as vendor.com/class=name, and those
// that requests for GPUs stand for, of all that there are. folders are where
// they are described.
func Named(h *container.HostConfig, all, folders []string) ([]string, error) {
	var out []string
	for _, r := range h.DeviceRequests {
		names := r.DeviceIDs
		if r.Driver != driverCDI {
			var err error
			if names, err = gpusOf(r, all, folders); err != nil {
				return nil, err
			}
		}
		out = append(out, names...)
	}
	return out, nil
}

func checkRequest(r container.DeviceRequest) error {
	switch {
	case r.Driver != driverCDI && wantsGPU(r):
		return checkGPU(r)
	case r.Driver != driverCDI:
		return errs.New(errs.Unsupported, "could not select device driver %q with capabilities: %v: ask for a device by the name that its CDI specification gives it (--device vendor.com/class=name)", r.Driver, r.Capabilities)
	case r.Count != 0 || len(r.Options) > 0:
		return invalid("a request for CDI devices names them, and has no count or options")
	}
	for _, name := range r.DeviceIDs {
		if !parser.IsQualifiedName(name) {
			return invalid("%q is not the name of a CDI device: write vendor.com/class=name", name)
		}
	}
	return nil
}

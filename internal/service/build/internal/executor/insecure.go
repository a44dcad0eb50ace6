package executor

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/linux/runtime"
)

// insecure reports whether a step asks for all privileges.
func insecure(meta executor.Meta) bool { return meta.SecurityMode != pb.SecurityMode_SANDBOX }

// privileges gives a step what RUN --security=insecure means: all that this
// process may, nothing masked, and the devices for mounting images and nesting
// containers.
func privileges(s *specs.Spec) error {
	caps, err := ownCapabilities()
	if err != nil {
		return err
	}
	c := s.Process.Capabilities
	c.Bounding = caps
	if s.Process.User.UID == 0 {
		c.Permitted, c.Effective = caps, caps
	}
	delete(s.Annotations, runtime.AnnotationSeccomp)
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	s.Linux.Devices = append(s.Linux.Devices, hostDevices()...)
	for i := range s.Mounts {
		if m := &s.Mounts[i]; m.Type == "sysfs" || m.Type == "cgroup" {
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "ro" })
		}
	}
	return nil
}

// ownCapabilities are those that the kernel knows and this process may hand on.
func ownCapabilities() ([]string, error) {
	known, err := capability.ListSupported()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, c := range known {
		has, err := capability.GetBound(c)
		if err != nil {
			return nil, err
		}
		if has {
			out = append(out, "CAP_"+strings.ToUpper(c.String()))
		}
	}
	return out, nil
}

// loops is how many loop devices an insecure step sees.
const loops = 8

// hostDevices are those of the devices that BuildKit gives an insecure step
// which this host has.
func hostDevices() []specs.LinuxDevice {
	paths := []string{"/dev/kmsg", "/dev/cuse", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/loop-control"}
	for i := range loops {
		paths = append(paths, "/dev/loop"+strconv.Itoa(i))
	}
	var out []specs.LinuxDevice
	for _, p := range paths {
		var st unix.Stat_t
		if unix.Stat(p, &st) != nil {
			continue
		}
		kind := "c"
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			kind = "b"
		}
		out = append(out, specs.LinuxDevice{Path: p, Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev))})
	}
	return out
}

package spec

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/mounts"
)

const defaultShm = 64 << 20

// mountList is the mounts every container has, the files we keep for it, and
// what was asked for, a folder always before what lies in it.
func mountList(in *Input, usual []specs.Mount) ([]specs.Mount, error) {
	out := standard(in, usual)
	for _, f := range []struct{ target, source string }{
		{"/etc/resolv.conf", in.ResolvConfPath}, {"/etc/hostname", in.HostnamePath}, {"/etc/hosts", in.HostsPath},
	} {
		if f.source != "" {
			out = append(out, bind(f.source, f.target, in.Host.ReadonlyRootfs))
		}
	}
	for _, m := range in.Mounts {
		sm, err := convert(m)
		if err != nil {
			return nil, err
		}
		// A mount of the user's replaces ours of the same place.
		out = slices.DeleteFunc(out, func(o specs.Mount) bool { return o.Destination == sm.Destination })
		out = append(out, sm)
	}
	slices.SortStableFunc(out, func(a, b specs.Mount) int {
		return strings.Count(path.Clean(a.Destination), "/") - strings.Count(path.Clean(b.Destination), "/")
	})
	return out, nil
}

func bind(source, target string, ro bool) specs.Mount {
	m := specs.Mount{Destination: target, Type: "bind", Source: source, Options: []string{"rbind", "rprivate"}}
	if ro {
		m.Options = append(m.Options, "ro")
	}
	return m
}

// standard changes the usual mounts to what was asked.
func standard(in *Input, usual []specs.Mount) []specs.Mount {
	h := in.Host
	var out []specs.Mount
	for _, m := range usual {
		switch m.Destination {
		case "/sys", "/sys/fs/cgroup":
			if h.Privileged {
				m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "ro" })
			}
		case "/dev/shm":
			if h.IpcMode == "none" {
				continue
			}
			m.Options = ShmOptions(h)
			if in.ShmPath != "" {
				m = bind(in.ShmPath, m.Destination, false)
			}
		}
		out = append(out, m)
	}
	return out
}

// ShmOptions are the mount options of a container's /dev/shm.
func ShmOptions(h *container.HostConfig) []string {
	return []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(ShmSize(h), 10)}
}

// ShmSize is the size of a container's /dev/shm in bytes.
func ShmSize(h *container.HostConfig) int64 {
	if h.ShmSize == 0 {
		return defaultShm
	}
	return h.ShmSize
}

// tmpfsFlags are what may stand among a tmpfs's options, besides key=value.
var tmpfsFlags = [...]string{
	"ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "atime", "noatime", "diratime", "nodiratime",
	"relatime", "norelatime", "strictatime", "nostrictatime", "sync", "async", "noswap",
}

var tmpfsKeys = [...]string{"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"}

func convert(m mounts.Mount) (specs.Mount, error) {
	if m.Type == mounts.Tmpfs {
		opts := []string{"noexec", "nosuid", "nodev"}
		for _, o := range m.Options {
			key, _, hasValue := strings.Cut(o, "=")
			known := !hasValue && slices.Contains(tmpfsFlags[:], o) || hasValue && slices.Contains(tmpfsKeys[:], key)
			if !known {
				return specs.Mount{}, errs.New(errs.Invalid, "invalid tmpfs option %q", o)
			}
			opts = slices.DeleteFunc(opts, func(have string) bool { return have == "no"+o })
			opts = append(opts, o)
		}
		if m.ReadOnly {
			opts = append(opts, "ro")
		}
		return specs.Mount{Destination: m.Target, Type: "tmpfs", Source: "tmpfs", Options: opts}, nil
	}
	opts := []string{"rbind"}
	if m.NonRecursive {
		opts = []string{"bind"}
	}
	propagation := m.Propagation
	if propagation == "" {
		propagation = "rprivate"
	}
	opts = append(opts, propagation)
	if m.ReadOnly {
		opts = append(opts, "ro")
		if !m.ShallowRO && !m.NonRecursive {
			opts = append(opts, "rro")
		}
	}
	return specs.Mount{Destination: m.Target, Type: "bind", Source: m.Source, Options: opts}, nil
}

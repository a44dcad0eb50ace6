package runtime

import (
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// namespaces is how a spec's list is carried out: some are made by the fork,
// some are entered by the init.
type namespaces struct {
	clone    uintptr
	cgroup   bool // one of its own, made after entering the cgroup
	joined   []joined
	ownNet   bool
	ownPid   bool
	joinsPid bool
}

type joined struct {
	file *os.File
	flag uint32
	ours bool // opened here, closed by close
}

var cloneFlags = map[specs.LinuxNamespaceType]uintptr{
	specs.MountNamespace:   unix.CLONE_NEWNS,
	specs.PIDNamespace:     unix.CLONE_NEWPID,
	specs.NetworkNamespace: unix.CLONE_NEWNET,
	specs.IPCNamespace:     unix.CLONE_NEWIPC,
	specs.UTSNamespace:     unix.CLONE_NEWUTS,
	specs.CgroupNamespace:  unix.CLONE_NEWCGROUP,
}

// resolve reads a spec's namespaces; what net gives, where it is not nil, is joined
// whatever the spec says. The result is to be closed.
func resolve(list []specs.LinuxNamespace, net func() (*os.File, error)) (*namespaces, error) {
	ns := &namespaces{}
	for _, n := range list {
		flag, ok := cloneFlags[n.Type]
		if !ok {
			ns.close()
			return nil, errs.New(errs.Unsupported, "%s namespaces are not supported yet", n.Type)
		}
		if n.Type == specs.NetworkNamespace && net != nil {
			continue
		}
		if err := ns.add(n, flag); err != nil {
			ns.close()
			return nil, err
		}
	}
	if ns.clone&unix.CLONE_NEWNS == 0 {
		ns.close()
		return nil, errs.New(errs.Invalid, "a container needs a mount namespace of its own")
	}
	if net == nil {
		return ns, nil
	}
	file, err := net()
	if err != nil {
		ns.close()
		return nil, err
	}
	ns.joined = append(ns.joined, joined{file: file, flag: unix.CLONE_NEWNET})
	return ns, nil
}

func (ns *namespaces) add(n specs.LinuxNamespace, flag uintptr) error {
	if n.Path != "" {
		if n.Type == specs.MountNamespace {
			return errs.New(errs.Unsupported, "a container cannot join the mount namespace %s", n.Path)
		}
		f, err := os.Open(n.Path)
		if err != nil {
			return errs.New(errs.NotFound, "the %s namespace to join is gone: %w", n.Type, err)
		}
		ns.joined = append(ns.joined, joined{f, uint32(flag), true})
		ns.joinsPid = ns.joinsPid || n.Type == specs.PIDNamespace
		return nil
	}
	switch n.Type {
	case specs.CgroupNamespace:
		ns.cgroup = true
		return nil
	case specs.PIDNamespace:
		ns.ownPid = true
	case specs.NetworkNamespace:
		ns.ownNet = true
	}
	ns.clone |= flag
	return nil
}

func (ns *namespaces) close() {
	for _, j := range ns.joined {
		if j.ours {
			_ = j.file.Close()
		}
	}
}

// startTime reads field 22 of /proc/PID/stat, which tells a process from a
// later one with the same number.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStartTime(string(data))
}

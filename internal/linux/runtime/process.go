package runtime

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	initproc "lus/internal/linux/init"
)

// process adds the operations from the word to go until the exec.
func (n *Native) process(p *initproc.Program, proc *specs.Process, pr profile, terminal, reaper bool) error {
	if err := checkProcess(proc); err != nil {
		return err
	}
	for _, l := range proc.Rlimits {
		resource, ok := rlimits[l.Type]
		if !ok {
			return errs.New(errs.Invalid, "unknown limit %q: use one of nofile, nproc, core, memlock and so on (ulimit)", l.Type)
		}
		if l.Soft > l.Hard {
			return errs.New(errs.Invalid, "limit %s: the soft limit %d is above the hard limit %d", l.Type, l.Soft, l.Hard)
		}
		p.Rlimit(resource, l.Soft, l.Hard)
	}
	filter, flags, err := pr.compile(n.filters)
	if err != nil {
		return err
	}
	caps, err := capabilities(proc.Capabilities)
	if err != nil {
		return err
	}
	last := &initproc.Last{
		UID: proc.User.UID, GID: proc.User.GID, Groups: proc.User.AdditionalGids,
		Umask: 0o022, Caps: caps,
		NoNewPrivileges: proc.NoNewPrivileges,
		Terminal:        terminal, Reaper: reaper,
		Filter: filter, FilterFlags: flags,
		Cwd: proc.Cwd, Name: proc.Args[0], Args: proc.Args, Env: proc.Env,
	}
	if proc.User.Umask != nil {
		last.Umask = *proc.User.Umask
	}
	if last.Cwd == "" {
		last.Cwd = "/"
	}
	p.Exec(last)
	return nil
}

// confine adds the process's AppArmor profile; the first operation of all.
func confine(p *initproc.Program, proc *specs.Process) {
	if proc.ApparmorProfile != "" {
		p.AppArmor(proc.ApparmorProfile)
	}
}

// checkProcess refuses what would be ignored or misunderstood.
func checkProcess(proc *specs.Process) error {
	switch {
	case proc == nil || len(proc.Args) == 0 || proc.Args[0] == "":
		return errs.New(errs.Invalid, "no command specified")
	case strings.ContainsAny(proc.ApparmorProfile, "\x00\n"):
		return errs.New(errs.Invalid, "an AppArmor profile has no such name: %q", proc.ApparmorProfile)
	case proc.SelinuxLabel != "":
		return errs.New(errs.Unsupported, "SELinux labels are not supported yet: leave out the label %q", proc.SelinuxLabel)
	case proc.Scheduler != nil || proc.IOPriority != nil || proc.ExecCPUAffinity != nil:
		return errs.New(errs.Unsupported, "scheduler, I/O priority and CPU affinity of a process are not supported")
	}
	for _, s := range slices.Concat(proc.Args, proc.Env, []string{proc.Cwd}) {
		if strings.IndexByte(s, 0) >= 0 {
			return errs.New(errs.Invalid, "arguments, environment and working directory must not contain a zero byte: %q", s)
		}
	}
	if proc.Cwd != "" && proc.Cwd[0] != '/' {
		return errs.New(errs.Invalid, "the working directory %q is invalid, it needs to be an absolute path", proc.Cwd)
	}
	return nil
}

// capabilities turns names into bits.
func capabilities(c *specs.LinuxCapabilities) (initproc.Capabilities, error) {
	var out initproc.Capabilities
	if c == nil {
		return out, nil
	}
	for _, set := range []struct {
		names []string
		bits  *uint64
	}{
		{c.Bounding, &out.Bounding}, {c.Effective, &out.Effective}, {c.Permitted, &out.Permitted},
		{c.Inheritable, &out.Inheritable}, {c.Ambient, &out.Ambient},
	} {
		for _, name := range set.names {
			bit, ok := capabilityBit(name)
			if !ok {
				return out, errs.New(errs.Invalid, "unknown capability %q", name)
			}
			*set.bits |= 1 << bit
		}
	}
	return out, nil
}

func capabilityBit(name string) (int, bool) {
	short, ok := strings.CutPrefix(name, "CAP_")
	if !ok {
		return 0, false
	}
	short = strings.ToLower(short)
	for _, c := range capability.ListKnown() {
		if c.String() == short {
			return int(c), true
		}
	}
	return 0, false
}

var rlimits = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU,
	"RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
	"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
	"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

func oomScore(proc *specs.Process) string {
	if proc.OOMScoreAdj == nil {
		return "0" // whatever the keeper has for itself is not the container's
	}
	return strconv.Itoa(*proc.OOMScoreAdj)
}

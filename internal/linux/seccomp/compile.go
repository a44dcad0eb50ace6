package seccomp

import (
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// arch is one architecture's way to call the kernel.
type arch struct {
	name  specs.Arch
	audit uint32 // AUDIT_ARCH_*
	calls table
	wide  bool // arguments have 64 bits
}

// table lists system calls by name, in order. Unlike a map it is laid out by
// the compiler and costs nothing at the start of a program.
type table []named

type named struct {
	name   string
	number uint32
}

func (t table) number(name string) (uint32, bool) {
	i, ok := slices.BinarySearchFunc(t, name, func(e named, name string) int {
		return strings.Compare(e.name, name)
	})
	if !ok {
		return 0, false
	}
	return t[i].number, true
}

const x32Bit = 0x40000000

func arches() []arch {
	return []arch{
		{specs.ArchX86_64, unix.AUDIT_ARCH_X86_64, callsX86x64, true},
		{specs.ArchX86, unix.AUDIT_ARCH_I386, callsX86, false},
		{specs.ArchX32, unix.AUDIT_ARCH_X86_64, callsX32, false}, // a 32-bit world, whatever its registers
		{specs.ArchAARCH64, unix.AUDIT_ARCH_AARCH64, callsARM64, true},
		{specs.ArchARM, unix.AUDIT_ARCH_ARM, callsARM, false},
	}
}

func native() specs.Arch {
	if runtime.GOARCH == "arm64" {
		return specs.ArchAARCH64
	}
	return specs.ArchX86_64
}

// Compile returns the filter of a profile and the flags to load it with. Calls
// of architectures that the profile does not name kill the caller; calls
// newer than all it names answer ENOSYS, so that programs fall back to older
// ones, unless the profile allows what it does not name.
func Compile(s *specs.LinuxSeccomp) ([]unix.SockFilter, uint32, error) {
	flags, err := filterFlags(s)
	if err != nil {
		return nil, 0, err
	}
	names := s.Architectures
	if len(names) == 0 {
		names = []specs.Arch{native()}
	}
	fallback, err := action(s.DefaultAction, s.DefaultErrnoRet)
	if err != nil {
		return nil, 0, err
	}
	sections := map[specs.Arch]code{}
	for _, a := range arches() {
		if !slices.Contains(names, a.name) {
			continue
		}
		section, err := a.compile(s, fallback)
		if err != nil {
			return nil, 0, err
		}
		sections[a.name] = section
	}
	filter := dispatch(sections)
	if len(filter) > unix.BPF_MAXINSNS {
		return nil, 0, errs.New(errs.Invalid, "the seccomp profile needs %d instructions, more than the kernel's %d", len(filter), unix.BPF_MAXINSNS)
	}
	return filter, flags, nil
}

func filterFlags(s *specs.LinuxSeccomp) (uint32, error) {
	if s.ListenerPath != "" {
		return 0, errs.New(errs.Unsupported, "seccomp listeners are not supported")
	}
	var flags uint32
	for _, f := range s.Flags {
		switch f {
		case "SECCOMP_FILTER_FLAG_TSYNC": // there is one thread
		case specs.LinuxSeccompFlagLog:
			flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		default:
			return 0, errs.New(errs.Unsupported, "seccomp flag %q is not supported", f)
		}
	}
	return flags, nil
}

// action is what the kernel is told to do.
func action(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	number := uint32(unix.EPERM)
	if errno != nil {
		number = uint32(*errno) & unix.SECCOMP_RET_DATA
	}
	switch a {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | number, nil
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | number, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	}
	return 0, errs.New(errs.Invalid, "unknown or unsupported seccomp action %q", a)
}

// call is what happens at one system call: conditional rules in order, and
// what holds where none matches.
type call struct {
	rules     []rule
	otherwise uint32
}

type rule struct {
	conditions []specs.LinuxSeccompArg // all must hold
	action     uint32
}

// compile writes the part of one architecture; the number of the call is in
// the accumulator.
func (a arch) compile(s *specs.LinuxSeccomp, fallback uint32) (code, error) {
	calls := map[uint32]*call{}
	newest := uint32(0)
	for _, group := range s.Syscalls {
		act, err := action(group.Action, group.ErrnoRet)
		if err != nil {
			return nil, err
		}
		rules, err := split(group.Args, act)
		if err != nil {
			return nil, err
		}
		for _, name := range group.Names {
			nr, ok := a.calls.number(name)
			if !ok {
				continue // not of this architecture, or newer than we are
			}
			newest = max(newest, nr)
			if calls[nr] == nil {
				calls[nr] = &call{otherwise: fallback}
			}
			calls[nr].add(rules, act, fallback)
		}
	}
	unknown := fallback
	if fallback != unix.SECCOMP_RET_ALLOW && fallback != unix.SECCOMP_RET_LOG {
		unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	}
	return a.tree(calls, newest, fallback, unknown)
}

// add joins rules to a call. A rule without conditions decides alone,
// whatever else is said about the call; the first such wins.
func (c *call) add(rules []rule, act, fallback uint32) {
	if c.otherwise != fallback {
		return
	}
	if len(rules) == 0 {
		if act != fallback {
			c.otherwise, c.rules = act, nil
		}
		return
	}
	if act != fallback {
		c.rules = append(c.rules, rules...)
	}
}

// split turns the conditions of one entry into rules. They all must hold,
// except that several on one argument are alternatives: profiles have been
// written that way, and runtimes have read them so, for a long time.
func split(args []specs.LinuxSeccompArg, act uint32) ([]rule, error) {
	if len(args) == 0 {
		return nil, nil
	}
	var seen [6]bool
	alternatives := false
	for _, c := range args {
		if c.Index > 5 {
			return nil, errs.New(errs.Invalid, "seccomp: a system call has no argument %d", c.Index)
		}
		alternatives = alternatives || seen[c.Index]
		seen[c.Index] = true
	}
	if !alternatives {
		return []rule{{args, act}}, nil
	}
	rules := make([]rule, len(args))
	for i := range args {
		rules[i] = rule{args[i : i+1], act}
	}
	return rules, nil
}

package seccomp_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/seccomp"
)

func profile(change func(*specs.LinuxSeccomp)) *specs.LinuxSeccomp {
	s := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64},
		Syscalls:      []specs.LinuxSyscall{{Names: []string{"read", "openat2"}, Action: specs.ActAllow}},
	}
	if change != nil {
		change(s)
	}
	return s
}

func TestWhatAProfileDoesNotName(t *testing.T) {
	const arm = unix.AUDIT_ARCH_AARCH64
	for _, c := range []struct {
		name     string
		change   func(*specs.LinuxSeccomp)
		arch, nr uint32
		want     uint32
	}{
		{"allowed", nil, unix.AUDIT_ARCH_X86_64, 0, unix.SECCOMP_RET_ALLOW},
		{"allowed on arm", nil, arm, 63, unix.SECCOMP_RET_ALLOW},
		{"read's number elsewhere is not read", nil, arm, 0, unix.SECCOMP_RET_ERRNO | 1},
		{"not named", nil, unix.AUDIT_ARCH_X86_64, 1, unix.SECCOMP_RET_ERRNO | 1},
		{"newer than all that is named", nil, unix.AUDIT_ARCH_X86_64, 438, unix.SECCOMP_RET_ERRNO | 38},
		{"newer, where the rest is allowed", func(s *specs.LinuxSeccomp) { s.DefaultAction = specs.ActAllow }, unix.AUDIT_ARCH_X86_64, 438, unix.SECCOMP_RET_ALLOW},
		{"an architecture not named", nil, unix.AUDIT_ARCH_I386, 3, unix.SECCOMP_RET_KILL_THREAD},
		{"x32 where it is not named", nil, unix.AUDIT_ARCH_X86_64, 0x40000000, unix.SECCOMP_RET_KILL_THREAD},
		{"an errno of its own", func(s *specs.LinuxSeccomp) { e := uint(13); s.DefaultErrnoRet = &e }, unix.AUDIT_ARCH_X86_64, 1, unix.SECCOMP_RET_ERRNO | 13},
	} {
		filter, _, err := seccomp.Compile(profile(c.change))
		if err != nil {
			t.Fatal(err)
		}
		if got := judge(t, filter, data(c.arch, c.nr, [6]uint64{})); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

func TestSeveralConditions(t *testing.T) {
	arg := func(i uint, v uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: i, Value: v, Op: specs.OpEqualTo}
	}
	for _, c := range []struct {
		name string
		args []specs.LinuxSeccompArg
		call [6]uint64
		want uint32
	}{
		{"both hold", []specs.LinuxSeccompArg{arg(0, 1), arg(1, 2)}, [6]uint64{1, 2}, unix.SECCOMP_RET_ALLOW},
		{"one holds", []specs.LinuxSeccompArg{arg(0, 1), arg(1, 2)}, [6]uint64{1, 3}, unix.SECCOMP_RET_ERRNO | 1},
		{"alternatives for one argument", []specs.LinuxSeccompArg{arg(0, 1), arg(0, 2)}, [6]uint64{2}, unix.SECCOMP_RET_ALLOW},
		{"neither alternative", []specs.LinuxSeccompArg{arg(0, 1), arg(0, 2)}, [6]uint64{3}, unix.SECCOMP_RET_ERRNO | 1},
	} {
		filter, _, err := seccomp.Compile(profile(func(s *specs.LinuxSeccomp) {
			s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: []string{"socket"}, Action: specs.ActAllow, Args: c.args})
		}))
		if err != nil {
			t.Fatal(err)
		}
		if got := judge(t, filter, data(unix.AUDIT_ARCH_X86_64, unix.SYS_SOCKET, c.call)); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

func TestProfilesThatAreRefused(t *testing.T) {
	for says, change := range map[string]func(*specs.LinuxSeccomp){
		"action":   func(s *specs.LinuxSeccomp) { s.DefaultAction = "SCMP_ACT_NOTIFY" },
		"listener": func(s *specs.LinuxSeccomp) { s.ListenerPath = "/x" },
		"flag":     func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{"NEW"} },
		"argument 6": func(s *specs.LinuxSeccomp) {
			s.Syscalls[0].Args = []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}
		},
		"comparison": func(s *specs.LinuxSeccomp) { s.Syscalls[0].Args = []specs.LinuxSeccompArg{{Op: "SCMP_CMP_X"}} },
	} {
		if _, _, err := seccomp.Compile(profile(change)); err == nil || errs.KindOf(err) == errs.Internal || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestACacheCompilesAProfileOnce(t *testing.T) {
	c := seccomp.NewCache()
	first, _, err := c.Compile(profile(nil))
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := c.Compile(profile(nil))
	if err != nil || &first[0] != &again[0] {
		t.Error("the same profile was compiled twice")
	}
	other, _, err := c.Compile(profile(func(s *specs.LinuxSeccomp) { s.Syscalls[0].Names[0] = "write" }))
	if err != nil || &first[0] == &other[0] {
		t.Error("another profile got the same filter")
	}
	caps := []string{"CAP_KILL", "CAP_CHOWN"}
	def, err := seccomp.Default(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
	if err != nil || !c.IsDefault(def, caps) || c.IsDefault(profile(nil), caps) {
		t.Errorf("the default profile is not recognised: %v", err)
	}
	if c.IsDefault(def, append(caps, "CAP_SYS_ADMIN")) {
		t.Error("the default profile of other capabilities is taken for this one")
	}
}

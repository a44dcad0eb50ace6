package seccomp_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/linux/seccomp"
	"lus/test/need"
)

// reference is a program that builds the same filter with libseccomp. It reads
// lines: "default ACTION", "arch NAME", "rule ACTION NAME [INDEX OP VALUE VALUE2]...",
// "name ARCH NR", and writes the filter, or for names what the library calls a number.
const reference = `
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
int main(void) {
	scmp_filter_ctx ctx = NULL;
	char line[4096];
	while (fgets(line, sizeof line, stdin)) {
		char *word = strtok(line, " \n");
		if (!word) continue;
		if (!strcmp(word, "default")) {
			ctx = seccomp_init(strtoul(strtok(NULL, " \n"), 0, 0));
			seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE);
		} else if (!strcmp(word, "arch")) {
			unsigned a = strtoul(strtok(NULL, " \n"), 0, 0);
			if (seccomp_arch_add(ctx, a)) { fprintf(stderr, "arch\n"); return 1; }
		} else if (!strcmp(word, "name")) {
			unsigned a = strtoul(strtok(NULL, " \n"), 0, 0);
			int nr = atoi(strtok(NULL, " \n"));
			char *n = seccomp_syscall_resolve_num_arch(a, nr);
			fprintf(stderr, "%u %d %s\n", a, nr, n ? n : "-");
			free(n);
		} else {
			unsigned action = strtoul(strtok(NULL, " \n"), 0, 0);
			char *name = strtok(NULL, " \n"), *w;
			struct scmp_arg_cmp args[6];
			int n = 0, nr = seccomp_syscall_resolve_name(name);
			if (nr == __NR_SCMP_ERROR) continue;
			while ((w = strtok(NULL, " \n"))) {
				args[n].arg = atoi(w);
				args[n].op = atoi(strtok(NULL, " \n"));
				args[n].datum_a = strtoull(strtok(NULL, " \n"), 0, 0);
				args[n].datum_b = strtoull(strtok(NULL, " \n"), 0, 0);
				n++;
			}
			if (seccomp_rule_add_array(ctx, action, nr, n, args)) { fprintf(stderr, "rule %s\n", name); return 1; }
		}
	}
	if (ctx) { fflush(stdout); return -seccomp_export_bpf(ctx, 1); }
	return 0;
}`

var auditArches = map[specs.Arch]uint32{
	specs.ArchX86_64: unix.AUDIT_ARCH_X86_64, specs.ArchX86: unix.AUDIT_ARCH_I386, specs.ArchX32: unix.AUDIT_ARCH_X86_64 &^ 0x80000000,
}

var operators = map[specs.LinuxSeccompOperator]int{
	specs.OpNotEqual: 1, specs.OpLessThan: 2, specs.OpLessEqual: 3, specs.OpEqualTo: 4,
	specs.OpGreaterEqual: 5, specs.OpGreaterThan: 6, specs.OpMaskedEqual: 7,
}

func actionNumber(t *testing.T, a specs.LinuxSeccompAction, errno *uint) uint32 {
	t.Helper()
	switch a {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW
	case specs.ActErrno:
		if errno != nil {
			return unix.SECCOMP_RET_ERRNO | uint32(*errno)
		}
		return unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	}
	t.Fatalf("action %s", a)
	return 0
}

func buildReference(t *testing.T) string {
	t.Helper()
	gcc := need.Program(t, "gcc", "gcc")
	if _, err := os.Stat("/usr/include/seccomp.h"); err != nil {
		need.Unmet(t, "libseccomp: apt-get install libseccomp-dev")
	}
	dir := t.TempDir()
	source, program := filepath.Join(dir, "ref.c"), filepath.Join(dir, "ref")
	if err := os.WriteFile(source, []byte(reference), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gcc, "-o", program, source, "-lseccomp").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// theirs compiles a profile with libseccomp, adding rules as runc does.
func theirs(t *testing.T, program string, s *specs.LinuxSeccomp) []unix.SockFilter {
	t.Helper()
	var in strings.Builder
	fallback := actionNumber(t, s.DefaultAction, s.DefaultErrnoRet)
	fmt.Fprintf(&in, "default %#x\n", fallback)
	for _, a := range s.Architectures {
		fmt.Fprintf(&in, "arch %#x\n", auditArches[a])
	}
	for _, c := range s.Syscalls {
		act := actionNumber(t, c.Action, c.ErrnoRet)
		if act == fallback {
			continue
		}
		for _, name := range c.Names {
			fmt.Fprintf(&in, "rule %#x %s", act, name)
			for _, a := range c.Args {
				fmt.Fprintf(&in, " %d %d %#x %#x", a.Index, operators[a.Op], a.Value, a.ValueTwo)
			}
			fmt.Fprintln(&in)
		}
	}
	cmd := exec.Command(program)
	cmd.Stdin = strings.NewReader(in.String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("libseccomp: %v: %s", err, stderr.String())
	}
	filter := make([]unix.SockFilter, len(out)/8)
	if err := binary.Read(bytes.NewReader(out), binary.LittleEndian, &filter); err != nil {
		t.Fatal(err)
	}
	return filter
}

// knows tells which numbers libseccomp has a name for.
func knows(t *testing.T, program string, arch uint32, numbers int) map[uint32]bool {
	t.Helper()
	var in strings.Builder
	for nr := range numbers {
		fmt.Fprintf(&in, "name %#x %d\n", arch, nr)
	}
	cmd := exec.Command(program)
	cmd.Stdin = strings.NewReader(in.String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	known := map[uint32]bool{}
	lines := bufio.NewScanner(&stderr)
	for lines.Scan() {
		var a, nr uint32
		var name string
		if _, err := fmt.Sscan(lines.Text(), &a, &nr, &name); err == nil && name != "-" {
			known[nr] = true
		}
	}
	return known
}

// caller is a way to call the kernel.
type caller struct {
	name  string
	audit uint32 // as the kernel tells it
	token uint32 // as libseccomp calls it
	bit   uint32 // of every number
}

var callers = []caller{
	{"x86_64", unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_X86_64, 0},
	{"i386", unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_I386, 0},
	{"x32", unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_X86_64 &^ 0x80000000, 0x40000000},
}

// Every call of every architecture, with arguments around every value that the
// profile compares with, is judged as libseccomp judges it.
func TestTheDefaultProfileIsWhatLibseccompMakesOfIt(t *testing.T) {
	program := buildReference(t)
	for name, caps := range map[string][]string{
		"Docker's": {"CAP_CHOWN", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE"},
		"admin":    {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF"},
		"none":     {},
	} {
		profile, err := seccomp.Default(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { compare(t, program, profile) })
	}
}

func TestEveryComparisonIsWhatLibseccompMakesOfIt(t *testing.T) {
	program := buildReference(t)
	for op := range operators {
		for _, value := range []uint64{0, 1, 7, 1 << 31, 1<<32 + 5, 1<<64 - 1} {
			arg := specs.LinuxSeccompArg{Index: 1, Op: op, Value: value, ValueTwo: value & 5}
			profile := &specs.LinuxSeccomp{
				DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64},
				Syscalls: []specs.LinuxSyscall{
					{Names: []string{"personality"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{arg}},
					{Names: []string{"set_mempolicy_home_node"}, Action: specs.ActAllow},
				},
			}
			compare(t, program, profile)
		}
	}
}

func compare(t *testing.T, program string, profile *specs.LinuxSeccomp) {
	t.Helper()
	ours, _, err := seccomp.Compile(profile)
	if err != nil {
		t.Fatal(err)
	}
	other := theirs(t, program, profile)
	t.Logf("%d instructions, libseccomp %d", len(ours), len(other))
	fallback := actionNumber(t, profile.DefaultAction, profile.DefaultErrnoRet)
	wrong := 0
	for _, c := range callers {
		known := knows(t, program, c.token, 600)
		for nr := uint32(0); nr < 600; nr++ {
			for _, args := range argsFor(profile) {
				a := judge(t, ours, data(c.audit, nr|c.bit, args))
				b := judge(t, other, data(c.audit, nr|c.bit, args))
				// Calls newer than the library, and ENOSYS for the newest, are ours alone.
				if a == b || !known[nr] || b == fallback && a == unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS) {
					continue
				}
				if wrong++; wrong < 10 {
					t.Errorf("%s call %d with %#x: %#x, libseccomp says %#x", c.name, nr, args, a, b)
				}
			}
		}
	}
}

// argsFor returns arguments around every value in the profile.
func argsFor(s *specs.LinuxSeccomp) [][6]uint64 {
	out := [][6]uint64{{}, {1<<64 - 1, 1<<64 - 1, 1<<64 - 1}}
	for _, c := range s.Syscalls {
		for _, a := range c.Args {
			for _, v := range []uint64{a.Value, a.Value - 1, a.Value + 1, a.ValueTwo, a.Value ^ 1<<32, a.Value | 1<<40} {
				var args [6]uint64
				args[a.Index] = v
				out = append(out, args)
			}
		}
	}
	return out
}

func data(arch, nr uint32, args [6]uint64) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, struct {
		Nr, Arch uint32
		IP       uint64
		Args     [6]uint64
	}{nr, arch, 0, args})
	return b.Bytes()
}

// judge runs a filter as the kernel would.
func judge(t *testing.T, filter []unix.SockFilter, data []byte) uint32 {
	t.Helper()
	var acc uint32
	for pc := 0; pc < len(filter); pc++ {
		f := filter[pc]
		jump := func(holds bool) {
			if holds {
				pc += int(f.Jt)
			} else {
				pc += int(f.Jf)
			}
		}
		switch f.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.LittleEndian.Uint32(data[f.K:])
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= f.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(f.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(acc == f.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			jump(acc > f.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(acc >= f.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(acc&f.K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return f.K
		default:
			t.Fatalf("instruction %#x at %d", f.Code, pc)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

package seccomp_test

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/linux/seccomp"
)

// FuzzCompile: whatever profile a user sends, it is refused or becomes a filter
// that the kernel takes, every path of which ends in a verdict.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"defaultAction":"SCMP_ACT_ALLOW"}`,
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],"syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"}]}`,
		`{"defaultAction":"SCMP_ACT_KILL","flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"},{"index":5,"value":18446744073709551615,"op":"SCMP_CMP_LE"}]}]}`,
		`{"defaultAction":"SCMP_ACT_TRACE","architectures":["SCMP_ARCH_AARCH64","SCMP_ARCH_ARM"],"syscalls":[{"names":["openat"],"action":"SCMP_ACT_NOTIFY","args":[{"index":1,"op":"SCMP_CMP_NE"},{"index":1,"op":"SCMP_CMP_GT"}]}]}`,
	} {
		f.Add([]byte(seed), uint32(0), uint64(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, nr uint32, arg uint64) {
		var s specs.LinuxSeccomp
		if json.Unmarshal(text, &s) != nil {
			return
		}
		filter, _, err := seccomp.Compile(&s)
		if err != nil {
			return
		}
		if len(filter) == 0 || len(filter) > unix.BPF_MAXINSNS {
			t.Fatalf("a filter of %d instructions", len(filter))
		}
		for i, in := range filter {
			// As the kernel checks it: jumps lead forward and stay inside, the
			// last instruction returns.
			next := i + 1
			switch {
			case in.Code&7 == unix.BPF_RET:
				continue
			case in.Code == unix.BPF_JMP|unix.BPF_JA:
				next += int(in.K)
			case in.Code&7 == unix.BPF_JMP:
				next += int(max(in.Jt, in.Jf))
			case in.Code == unix.BPF_LD|unix.BPF_W|unix.BPF_ABS && (in.K > 60 || in.K%4 != 0):
				t.Fatalf("instruction %d loads from %d", i, in.K)
			}
			if next >= len(filter) {
				t.Fatalf("instruction %d of %d leads to %d: %+v", i, len(filter), next, in)
			}
		}
		for _, arch := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, 0} {
			judge(t, filter, data(arch, nr, [6]uint64{arg, ^arg, arg >> 32, 0, arg << 32, 1}))
		}
	})
}

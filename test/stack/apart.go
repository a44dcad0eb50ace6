package stack

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/thread"
)

// UpApart starts lusd in a network namespace of its own, which is then the host
// as far as networks go: rules and interfaces there concern nobody else. After
// the daemon's death the next one comes up in the same namespace.
func (s *Stack) UpApart(t testing.TB) {
	t.Helper()
	daemon := []string{filepath.Join(s.Bin, "lusd"), "--root", s.Root, "--run", s.Run}
	into := []string{"unshare", "-n", "sh", "-c", `ip link set lo up && exec "$0" "$@"`}
	if keeper := s.Helper("lus-keeper"); keeper != 0 {
		into = inNet(keeper)
	}
	cmd := slices.Concat(into, daemon)
	if err := s.up(exec.Command(cmd[0], cmd[1:]...)); err != nil {
		t.Fatalf("%v\n%s", err, s.DaemonLog(20))
	}
}

// Inside runs a program in the daemon's network namespace.
func (s *Stack) Inside(t testing.TB, program string, args ...string) string {
	t.Helper()
	cmd := slices.Concat(inNet(s.DaemonPid()), []string{program}, args)
	out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func inNet(pid int) []string { return []string{"nsenter", "-t", fmt.Sprint(pid), "-n"} }

// InNet runs fn on a thread in the network namespace of a process.
func InNet(pid int, fn func() error) error {
	return thread.Apart(func() error {
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return fn()
	})
}

package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// A daemon that is killed loses nothing of a container of another runtime: not
// its life, its output, its exit code or its ports; and once all is removed
// nothing is left.
func TestAnotherRuntimesContainersOutliveTheDaemon(t *testing.T) {
	t.Parallel()
	need.Program(t, "runc", "runc")
	s := stack.Start(t)
	s.OK(t, "run", "--rm", "--runtime", "runc", stack.Busybox, "true") // what is made once is there now
	s.Kill()
	s.StartDaemon(t) // and what a start cleans once is clean
	before := s.Still()
	port := stack.Port(t)
	run := []string{"run", "-d", "--runtime", "runc", "--name"}
	s.OK(t, append(run, "web", "-p", port+":80", stack.Busybox, "httpd", "-f", "-h", "/etc")...)
	dir := t.TempDir()
	s.OK(t, append(run, "ends", "-v", dir+":/told", stack.Busybox, "sh", "-c", "echo one; until [ -e /told/go ]; do usleep 10000; done; echo two; exit 6")...)
	s.OK(t, append(run, "counts", stack.Busybox, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; usleep 10000; done")...)
	pid := s.OK(t, "inspect", "-f", "{{.State.Pid}}", "web")

	s.Kill()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	stack.Says(t, stack.Page(t, port, "/passwd"), "root:")
	s.StartDaemon(t)

	if code := s.OK(t, "wait", "ends"); code != "6" {
		t.Errorf("it ended while the daemon was dead or after, with %s, want 6", code)
	}
	stack.Says(t, s.OK(t, "logs", "ends"), "one\ntwo")
	if now := s.OK(t, "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "web"); now != "running "+pid {
		t.Errorf("web was running with pid %s, now %s", pid, now)
	}
	stack.Says(t, s.OK(t, "exec", "web", "cat", "/etc/passwd"), "root:")
	s.OK(t, "stop", "-t", "0", "web")
	s.OK(t, "start", "web")
	stack.Says(t, stack.Page(t, port, "/passwd"), "root:")
	s.OK(t, "stop", "-t", "0", "counts")
	numbered(t, s, "counts", 1)

	s.OK(t, "rm", "-f", "web", "ends", "counts")
	s.Unchanged(t, before)
	noBundles(t, s)
}

// noBundles: nothing is left of what other runtimes need on the disk.
func noBundles(t *testing.T, s *stack.Stack) {
	t.Helper()
	stack.Eventually(t, "no bundle to be left", func() bool {
		left, err := filepath.Glob(filepath.Join(s.OCI(), "*", "*", "*"))
		return err == nil && len(left) == 0
	})
}

// A killed keeper is the end of these containers as it is of ours.
func TestAKilledKeeperIsTheEndOfAnotherRuntimesContainers(t *testing.T) {
	t.Parallel()
	need.Program(t, "runc", "runc")
	s := stack.Start(t)
	port := stack.Port(t)
	s.OK(t, "run", "-d", "--runtime", "runc", "--name", "web", "-p", port+":80", stack.Busybox, "httpd", "-f", "-h", "/etc")
	pid := s.OK(t, "inspect", "-f", "{{.State.Pid}}", "web")
	if err := syscall.Kill(s.Helper("lus-keeper"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, "the daemon to end", func() bool { return s.Helper("lusd") == 0 })
	s.StartDaemon(t)
	stack.Says(t, s.OK(t, "ps", "-a", "--filter", "name=web"), "Exited (255)")
	if status, err := os.ReadFile("/proc/" + pid + "/status"); err == nil && !strings.Contains(string(status), "State:\tZ") {
		t.Errorf("its process still runs:\n%s", status)
	}
	s.OK(t, "start", "web")
	stack.Says(t, stack.Page(t, port, "/passwd"), "root:")
	s.OK(t, "rm", "-f", "web")
	noBundles(t, s)
}

package scenarios

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lus/test/stack"
)

// otherBuild is a folder with the programs of this build, but lusd and
// lus-keeper of another version.
func otherBuild(t *testing.T, s *stack.Stack) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"lus", "lus-dns"} {
		if err := os.Symlink(filepath.Join(s.Bin, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X lus/internal/base/version.number=another", "-o", dir+"/", "./cmd/lusd", "./cmd/lus-keeper")
	build.Dir, build.Env = s.Repo, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return dir
}

// TestAKeeperOfAnotherBuildIsReplacedInPlace: a daemon of another build makes
// the keeper that runs one of its own kind, forth and back. Processes, pipes,
// terminals, output and exit codes stay.
func TestAKeeperOfAnotherBuildIsReplacedInPlace(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	builds := []string{otherBuild(t, s), s.Bin}
	s.OK(t, "run", "-d", "--name", "writer", stack.Busybox, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; usleep 1000; done")
	s.OK(t, "run", "-dit", "--name", "terminal", stack.Busybox, "sh")
	s.OK(t, "run", "-di", "--name", "pipe", stack.Busybox, "cat")
	s.OK(t, "run", "-d", "--name", "ends", "-p", stack.Port(t)+":80", stack.Busybox, "sh", "-c", "while ! test -e /go; do usleep 10000; done; echo said; exit 23")
	keeper := s.Helper("lus-keeper")
	pids := s.OK(t, "inspect", "--format", "{{.State.Pid}}", "writer", "terminal", "pipe", "ends")

	for i, bin := range append(builds, builds...) {
		s.Kill()
		s.Bin = bin
		s.StartDaemon(t)
		if now := s.OK(t, "inspect", "--format", "{{.State.Pid}}", "writer", "terminal", "pipe", "ends"); now != pids {
			t.Fatalf("the processes were\n%s\nnow they are\n%s", pids, now)
		}
		if now := s.Helper("lus-keeper"); now != keeper {
			t.Fatalf("the keeper was process %d, now it is %d", keeper, now)
		}
		if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", keeper)); err != nil || program != filepath.Join(bin, "lus-keeper") {
			t.Errorf("the keeper runs %s, not that of %s (%v)", program, bin, err)
		}
		typed := fmt.Sprint("typed", i)
		term := s.Terminal(t, "attach", "terminal")
		term.Type("echo ter''minal " + typed + "\n")
		term.Sees("terminal " + typed)
		term.Type("\x10\x11")
		term.Ends()
		s.Terminal(t, "attach", "pipe").Type("pipe " + typed + "\n")
		stack.Eventually(t, "what went through the pipe", func() bool { return strings.Contains(s.OK(t, "logs", "pipe"), "pipe "+typed) })
	}
	s.OK(t, "exec", "ends", "touch", "/go")
	if code := s.OK(t, "wait", "ends"); code != "23" {
		t.Errorf("it ended with %s", code)
	}
	if said := s.OK(t, "logs", "ends"); said != "said" {
		t.Errorf("it said %q", said)
	}
	numbered(t, s, "writer", 1)
}

// TestAKilledKeeperIsTheEndOfItsContainersAndIsTold: nobody else can know how
// they end. The daemon ends too and says what to do; the next one ends what
// still runs, tells of it, and starts what its policy wants running.
func TestAKilledKeeperIsTheEndOfItsContainersAndIsTold(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	port := stack.Port(t)
	s.OK(t, "run", "-d", "--name", "steady", "-p", port+":80", stack.Busybox, "sh", "-c", "echo begun; exec httpd -f -h /etc")
	s.OK(t, "run", "-d", "--name", "phoenix", "--restart", "always", stack.Busybox, "sleep", "1000")
	s.OK(t, "run", "--name", "over", stack.Busybox, "true")
	stack.Page(t, port, "/passwd")
	await(t, s, "steady", "begun")
	pid := s.OK(t, "inspect", "--format", "{{.State.Pid}}", "steady")

	if err := syscall.Kill(s.Helper("lus-keeper"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, "the daemon to end", func() bool { return s.Helper("lusd") == 0 })
	stack.Says(t, s.DaemonLog(5), "the keeper ended, and with it all containers", "start the daemon again")
	s.StartDaemon(t)

	if got := s.OK(t, "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}", "steady"); !strings.HasPrefix(got, "exited 255 the container's end was not seen") {
		t.Errorf("the one that ran is %q", got)
	}
	stack.Says(t, s.OK(t, "ps", "-a", "--filter", "name=steady"), "Exited (255)")
	if status, err := os.ReadFile("/proc/" + pid + "/status"); err == nil && !strings.Contains(string(status), "State:\tZ") {
		t.Errorf("its process still runs:\n%s", status)
	}
	if got := s.OK(t, "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "over"); got != "exited 0" {
		t.Errorf("the one that was over is %q", got)
	}
	stack.Eventually(t, "the one that is always to run", func() bool {
		return s.OK(t, "inspect", "--format", "{{.State.Status}}", "phoenix") == "running"
	})
	if got := s.OK(t, "logs", "steady"); got != "begun" {
		t.Errorf("its log is %q", got)
	}
	s.OK(t, "start", "steady")
	stack.Page(t, port, "/passwd")
	recordsAgree(t, s)
}

// TestWhatWasJustStartedComesBack: daemon and keeper are killed within moments of
// a start, before a record says that the container runs. That it was started is
// known all the same, and its policy honoured.
func TestWhatWasJustStartedComesBack(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "create", "--name", "made", "--restart", "always", stack.Busybox, "sleep", "1000")
	for i := range 6 {
		name := fmt.Sprint("phoenix", i)
		policy := []string{"always", "unless-stopped", "on-failure"}[i%3]
		keeper := s.Helper("lus-keeper")
		s.OK(t, "run", "-d", "--name", name, "--restart", policy, stack.Busybox, "sleep", "1000")
		s.Kill()
		if err := syscall.Kill(keeper, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.StartDaemon(t)
		stack.Eventually(t, name+" to run again", func() bool {
			return s.OK(t, "inspect", "--format", "{{.State.Status}}", name) == "running"
		})
	}
	if got := s.OK(t, "inspect", "--format", "{{.State.Status}}", "made"); got != "created" {
		t.Errorf("what nobody started is %s", got)
	}
	recordsAgree(t, s)
}

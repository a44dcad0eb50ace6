package scenarios

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"lus/test/stack"
)

func TestS36AChangeStaysInItsContainer(t *testing.T) {
	t.Parallel()
	s := shared(t)
	a, b := named(t, s, "a"), named(t, s, "b")
	s.OK(t, "run", "-d", "--name", a, stack.Busybox, "sleep", "300")
	s.OK(t, "run", "-d", "--name", b, stack.Busybox, "sleep", "300")
	before := s.OK(t, "image", "inspect", "--format", "{{.Id}}", stack.Busybox)
	s.OK(t, "exec", a, "touch", "/x")
	s.OK(t, "exec", a, "test", "-e", "/x")
	s.Fail(t, 1, "exec", b, "test", "-e", "/x")
	s.Fail(t, 1, "run", "--rm", stack.Busybox, "test", "-e", "/x")
	if after := s.OK(t, "image", "inspect", "--format", "{{.Id}}", stack.Busybox); after != before {
		t.Errorf("the image changed from %s to %s", before, after)
	}
}

func TestS38WhatWasWrittenIsThereAfterStopAndStart(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "keeps")
	id := s.OK(t, "run", "-d", "--name", name, stack.Busybox, "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done")
	stack.Eventually(t, "its trap", func() bool { return s.OK(t, "logs", name) == "ready" })
	s.OK(t, "exec", name, "sh", "-c", "echo kept >/file")
	s.OK(t, "stop", name)
	stack.Says(t, s.OK(t, "ps", "-a", "--filter", "name="+name), "Exited (5)")
	s.OK(t, "start", id[:10])
	if got := s.OK(t, "exec", id[:10], "cat", "/file"); got != "kept" {
		t.Errorf("the file has %q", got)
	}
}

func TestS39ExecNeedsARunningContainer(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "exec")
	s.OK(t, "create", "--name", name, stack.Busybox, "sleep", "300")
	stack.Says(t, s.Fail(t, 1, "exec", name, "true"), "is not running")
	s.OK(t, "start", name)
	r := s.Lus("exec", name, "sh", "-c", "echo out; echo err >&2; exit 4")
	if r.Code != 4 || r.Out != "out\n" || r.Err != "err\n" {
		t.Errorf("exec gave %d, %q, %q", r.Code, r.Out, r.Err)
	}
	s.Fail(t, 127, "exec", name, "no-such-program")
	s.Fail(t, 126, "exec", name, "/etc/passwd")
	in := s.Do(strings.NewReader("through\n"), s.Bin+"/lus", "exec", "-i", name, "cat")
	if in.Want(t, 0) != "through" {
		t.Errorf("cat gave back %q", in.Out)
	}
	stack.Says(t, s.Fail(t, 1, "exec", "no-such-container", "true"), "No such container")
}

func TestS40DetachAndAttachAgain(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "shell")
	s.OK(t, "run", "-dit", "--name", name, stack.Busybox, "sh")

	first := s.Terminal(t, "attach", name)
	first.Type("x=remem''bered; echo fir''st\n")
	first.Sees("first")    // its terminal is raw by now: the keys go inside
	first.Type("\x10\x11") // Ctrl-P Ctrl-Q
	if code := first.Ends(); code != 0 {
		t.Errorf("detaching ended with %d", code)
	}
	if got := s.OK(t, "inspect", "--format", "{{.State.Running}}", name); got != "true" {
		t.Fatalf("after detaching running is %s", got)
	}

	second := s.Terminal(t, "attach", name)
	second.Type("echo $x\n")
	second.Sees("remembered")
	second.Type("exit 9\n")
	if code := second.Ends(); code != 9 {
		t.Errorf("attach ended with %d, want the shell's 9", code)
	}
}

func TestS41LogsAndTop(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "talks")
	s.OK(t, "run", "-d", "--name", name, stack.Busybox, "sh", "-c",
		"i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo line $i; done; echo oops >&2; until [ -e /go ]; do sleep 0.05; done; echo last; sleep 300")
	await(t, s, name, "oops")
	s.OK(t, "exec", name, "touch", "/go")
	await(t, s, name, "last")

	all := s.Lus("logs", name)
	if all.Want(t, 0); strings.Count(all.Out, "\n") != 21 || all.Err != "oops\n" {
		t.Errorf("logs gave %q and %q", all.Out, all.Err)
	}
	if got := s.OK(t, "logs", "--tail", "1", name); got != "last" {
		t.Errorf("--tail 1 gave %q", got)
	}
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z last$`)
	if got := s.OK(t, "logs", "-t", "--tail", "1", name); !stamp.MatchString(got) {
		t.Errorf("-t gave %q", got)
	}

	pid := s.OK(t, "inspect", "--format", "{{.State.Pid}}", name)
	stack.Eventually(t, "its last command", func() bool { return strings.Contains(s.OK(t, "top", name), "sleep 300") })
	stack.Says(t, s.OK(t, "top", name), "PID", "sleep 300", pid)
	if _, err := os.Stat("/proc/" + pid); err != nil {
		t.Errorf("the process id %s is not the host's: %v", pid, err)
	}
}

func TestS41FollowingEndsWithTheContainer(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "counts")
	s.OK(t, "run", "-d", "--name", name, stack.Busybox, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done")
	lines := strings.Fields(s.OK(t, "logs", "-f", "--tail", "5", name))
	for i := 1; i < len(lines); i++ {
		a, _ := strconv.Atoi(lines[i-1])
		if b, _ := strconv.Atoi(lines[i]); b != a+1 {
			t.Errorf("after %d came %d", a, b)
		}
	}
	if len(lines) == 0 || lines[len(lines)-1] != "8" {
		t.Errorf("following ended early: %v", lines)
	}
}

func TestS42RemovingARunningContainer(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "stays")
	run := func() {
		s.OK(t, "run", "-d", "--name", name, "--stop-timeout", "1", stack.Busybox, "sleep", "300")
	}
	run()
	stack.Says(t, s.Fail(t, 1, "rm", name), "running", "force")
	s.OK(t, "stop", name)
	s.OK(t, "rm", name)
	run()
	s.OK(t, "rm", "-f", name)
	if got := s.OK(t, "ps", "-aq", "--filter", "name="+name); got != "" {
		t.Errorf("rm -f left %s", got)
	}
}

func TestS43OneKernelOwnProcesses(t *testing.T) {
	t.Parallel()
	s := shared(t)
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.OK(t, "run", "--rm", stack.Busybox, "uname", "-r"); got != strings.TrimSpace(string(kernel)) {
		t.Errorf("uname -r gave %s, the host has %s", got, kernel)
	}
	list := strings.Split(s.OK(t, "run", "--rm", stack.Busybox, "ps"), "\n")
	if len(list) != 2 || !strings.HasPrefix(strings.TrimSpace(list[1]), "1 ") {
		t.Errorf("ps inside sees more than itself:\n%s", strings.Join(list, "\n"))
	}
}

func TestRestartPolicyBringsItBack(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "again")
	s.OK(t, "run", "-d", "--name", name, "--restart", "on-failure:2", stack.Busybox, "sh", "-c", "echo try; exit 1")
	stack.Eventually(t, "two restarts and the end", func() bool {
		return s.OK(t, "inspect", "--format", "{{.RestartCount}} {{.State.Status}}", name) == "2 exited"
	})
	if got := strings.Count(s.OK(t, "logs", name), "try"); got != 3 {
		t.Errorf("it ran %d times, want 3", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const n = 20
	codes := make(chan string, n)
	for i := range n {
		go func() {
			codes <- fmt.Sprintf("%d %d", i, s.Lus("run", "--rm", stack.Busybox, "sh", "-c", fmt.Sprintf("exit %d", i)).Code)
		}()
	}
	for range n {
		var i, code int
		if got := <-codes; true {
			if _, err := fmt.Sscan(got, &i, &code); err != nil || i != code {
				t.Errorf("container and its exit code: %s", got)
			}
		}
	}
}

// Many execs that begin and end together: each gives back its own output and
// code, and none is waited for in vain.
func TestManyExecsAtOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "busy")
	s.OK(t, "run", "-d", "--name", name, stack.Busybox, "sleep", "3600")
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range 20 {
				code := 10*w + i
				r := s.Lus("exec", name, "sh", "-c", fmt.Sprintf("echo out %d; exit %d", code, code))
				if r.Code != code || r.Out != fmt.Sprintf("out %d\n", code) {
					t.Errorf("exec %d gave %d and %q%q", code, r.Code, r.Out, r.Err)
				}
			}
		})
	}
	wg.Wait()
}

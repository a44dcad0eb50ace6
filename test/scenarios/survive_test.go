package scenarios

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lus/test/stack"
)

// kills is how often the daemon dies in TestSurvive: LUS_TEST_LONG may ask for
// more.
func kills(t *testing.T) int {
	t.Helper()
	long := os.Getenv("LUS_TEST_LONG")
	if long == "" {
		return 50
	}
	n, err := strconv.Atoi(long)
	if err != nil || n < 1 {
		t.Fatalf("LUS_TEST_LONG is %q: it says how often TestSurvive kills the daemon, 1000 for example", long)
	}
	return n
}

// TestSurvive kills the daemon with SIGKILL again and again while people run,
// stop, start, enter, follow, build and pull. Every other kill comes at any
// moment, the others just when one more command of each kind got through in
// turn, so that none is starved. What ran runs on, names resolve while the
// daemon is dead, no line and no exit code is lost, what was told holds, records
// and kernel agree, and once all is removed nothing is left.
func TestSurvive(t *testing.T) {
	s := stack.Start(t)
	s.OK(t, "run", "--rm", stack.Busybox, "true") // what is made once is there now
	s.Build(t, "warm", map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nRUN true\n"}).Want(t, 0)
	s.OK(t, "rmi", "warm")
	s.Kill()
	s.StartDaemon(t) // and what a start cleans once is clean
	before := s.Still()

	l := newLoad(t, s)
	s.OK(t, "network", "create", "app")
	s.OK(t, "run", "-d", "--name", "server", "--network", "app", stack.Busybox, "httpd", "-f", "-h", "/etc")
	s.Listens(t, "server", 80)
	s.OK(t, "run", "-d", "--name", "client", "--network", "app", stack.Busybox, "sh", "-c",
		"while :; do if wget -qO /dev/null http://server/passwd; then echo reached; else echo LOST; fi; usleep 30000; done")
	writers := []string{"writer1", "writer2", "writer3"}
	for _, w := range writers {
		s.OK(t, "run", "-d", "--name", w, stack.Busybox, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; usleep 3000; done")
	}
	pids := map[string]string{}
	for _, name := range append(writers, "server", "client") {
		pids[name] = s.OK(t, "inspect", "--format", "{{.State.Pid}}", name)
	}
	keeper := s.Helper("lus-keeper")

	n := kills(t)
	stop := l.start()
	for i := range n {
		if i%2 == 0 {
			l.awaitOne(t, l.kinds[i/2%len(l.kinds)])
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		} else {
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		}
		s.Kill()
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		s.StartDaemon(t)
	}
	stop()

	if now := s.Helper("lus-keeper"); now != keeper {
		t.Errorf("the keeper was process %d, now it is %d", keeper, now)
	}
	for name, pid := range pids {
		if got := s.OK(t, "inspect", "--format", "{{.State.Status}} {{.State.Pid}}", name); got != "running "+pid {
			t.Errorf("%s is %s, was running with pid %s", name, got, pid)
		}
	}
	for _, w := range writers {
		numbered(t, s, w, n)
	}
	client := s.Lus("logs", "-t", "client")
	client.Want(t, 0)
	if lost := strings.Count(client.Out, "LOST"); lost > 0 || strings.Count(client.Out, "reached") < n {
		t.Errorf("the client reached the server by name %d times and lost it %d times:\n%s", strings.Count(client.Out, "reached"), lost, client.Err)
	}
	l.check(t, n/2/len(l.kinds))
	recordsAgree(t, s)
	removeAll(t, s, l, before)
}

// numbered checks that a writer's lines are 1, 2, 3 and so on without a gap.
func numbered(t *testing.T, s *stack.Stack, name string, least int) {
	t.Helper()
	lines := strings.Fields(s.OK(t, "logs", name))
	for i, line := range lines {
		if line != strconv.Itoa(i+1) {
			t.Errorf("%s: line %d of %d is %q", name, i+1, len(lines), line)
			return
		}
	}
	if len(lines) < least {
		t.Errorf("%s wrote only %d lines", name, len(lines))
	}
}

// recordsAgree compares each record with the kernel: what is said to run has
// its process in its cgroup, its end of a pair and its port; nothing else has.
func recordsAgree(t *testing.T, s *stack.Stack) {
	t.Helper()
	var how string
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if how = disagree(s); how == "" {
			return
		}
	}
	t.Errorf("records and kernel do not agree:\n%s", how)
}

func disagree(s *stack.Stack) string {
	var out []string
	said := map[string]bool{}
	published := map[string]bool{}
	for line := range strings.Lines(inspectAll(s, "{{.Id}} {{.State.Running}} {{.State.Pid}} {{range .NetworkSettings.Ports}}{{range .}}{{.HostPort}}{{end}}{{end}}")) {
		f := strings.Fields(line)
		if f[1] != "true" {
			if f[2] != "0" {
				out = append(out, "not running, with a pid: "+line)
			}
			continue
		}
		said[f[0]] = true
		if len(f) > 3 {
			published[f[3]] = true
		}
		if groups, err := os.ReadFile("/proc/" + f[2] + "/cgroup"); err != nil || !strings.Contains(string(groups), f[0]) {
			out = append(out, "running, and its process is not in its cgroup: "+line)
		}
	}
	look := s.Look()
	real := map[string]bool{}
	for _, dir := range look[stack.Cgroups] {
		if id := dir[strings.LastIndex(dir, "/")+1:]; len(id) == 64 {
			real[id] = true
		}
	}
	for id := range real {
		if !said[id] {
			out = append(out, "a cgroup of what does not run: "+id)
		}
	}
	pairs := slices.DeleteFunc(look[stack.Interfaces], func(name string) bool {
		_, err := os.Stat("/sys/class/net/" + name + "/bridge")
		return err == nil
	})
	if len(pairs) != len(said) {
		out = append(out, strconv.Itoa(len(pairs))+" pairs of interfaces for "+strconv.Itoa(len(said))+" running containers")
	}
	rules := strings.Join(look[stack.Rules], "\n")
	for port := range published {
		if !strings.Contains(rules, " "+port+" ") {
			out = append(out, "no rule for port "+port)
		}
	}
	if n := strings.Count(rules, " tcp . "); n != len(published) {
		out = append(out, strconv.Itoa(n)+" published ports in the rules, "+strconv.Itoa(len(published))+" in the records:\n"+rules)
	}
	return strings.Join(out, "\n")
}

// inspectAll is the same format for every container that there is.
func inspectAll(s *stack.Stack, format string, filter ...string) string {
	ids := strings.Fields(s.Lus(append([]string{"ps", "-aq", "--no-trunc"}, filter...)...).Out)
	if len(ids) == 0 {
		return ""
	}
	return s.Lus(append([]string{"inspect", "--format", format}, ids...)...).Out
}

// removeAll takes away all that the load made and compares the machine with
// what it was. What a build keeps for the next one may stay.
func removeAll(t *testing.T, s *stack.Stack, l *load, before stack.Machine) {
	t.Helper()
	s.OK(t, append([]string{"rm", "-f"}, strings.Fields(s.OK(t, "ps", "-aq"))...)...)
	s.OK(t, "network", "rm", "app")
	for _, name := range strings.Fields(s.OK(t, "images", "--format", "{{.Repository}}:{{.Tag}}")) {
		if name != stack.Busybox+":latest" {
			s.OK(t, "rmi", "-f", name)
		}
	}
	s.Kill()
	s.StartDaemon(t) // a start finds out what nobody needs
	s.Unchanged(t, before, stack.Files)
	left := l.filesLeft()
	for deadline := time.Now().Add(3 * time.Minute); left != "" && time.Now().Before(deadline); left = l.filesLeft() {
		time.Sleep(50 * time.Millisecond)
	}
	if left != "" {
		t.Errorf("files are left:\n%s", left)
	}
}

func TestNothingIsLeftAfterKillsAndRemovals(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.Kill()
	s.StartDaemon(t) // what a start cleans once is clean now
	s.OK(t, "run", "--rm", stack.Busybox, "true")
	before := s.Still()
	port := stack.Port(t)
	for range 10 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Lus("run", "-d", "--name", "web", "-p", port+":80", stack.Busybox, "sleep", "300")
		}()
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
		s.Kill()
		<-done
		s.StartDaemon(t)
		s.Lus("rm", "-f", "web")
	}
	s.Unchanged(t, before)
}

func TestNothingIsLeftOfABuildThatDiedWithTheDaemon(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.Build(t, "warm", map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nRUN true\n"}).Want(t, 0)
	s.Kill()
	s.StartDaemon(t)
	before := s.Still()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Build(t, "half", map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nRUN sleep 1001\n"})
	}()
	stack.Eventually(t, "the step to run", func() bool { return slices.Contains(s.Look()[stack.Processes], "sleep 1001") })
	s.Kill()
	<-done
	s.StartDaemon(t)
	s.Unchanged(t, before, stack.Files) // what is kept for the next build is the builder's own
}

// A daemon that is told to stop leaves what containers need, and nothing where
// none runs.
func TestAStopLeavesWhatRunsAndNothingElse(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "run", "-d", "--name", "runs", "-p", stack.Port(t)+":80", stack.Busybox, "sleep", "1000")
	pid := s.OK(t, "inspect", "--format", "{{.State.Pid}}", "runs")
	keeper, names := s.Helper("lus-keeper"), s.Helper("lus-dns")
	if code := s.Stop(); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	if s.Helper("lus-keeper") != keeper || s.Helper("lus-dns") != names || keeper == 0 {
		t.Errorf("the helpers were %d and %d, now they are %d and %d", keeper, names, s.Helper("lus-keeper"), s.Helper("lus-dns"))
	}
	s.StartDaemon(t)
	if now := s.OK(t, "inspect", "--format", "{{.State.Pid}}", "runs"); now != pid {
		t.Errorf("it was process %s, now it is %s", pid, now)
	}
	recordsAgree(t, s)
	s.OK(t, "stop", "-t", "0", "runs")
	if code := s.Stop(); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	for kind, left := range s.Still().Less(stack.Files) {
		if len(left) > 0 {
			t.Errorf("left, as a %s: %q", kind, left)
		}
	}
	s.StartDaemon(t)
	s.OK(t, "start", "runs")
}

func TestAnExitWhileTheDaemonIsDeadIsKnown(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	dir := t.TempDir()
	s.OK(t, "run", "-d", "--name", "ends", "-v", dir+":/told", stack.Busybox, "sh", "-c", "until [ -e /told/go ]; do usleep 10000; done; echo last words; exit 23")
	pid := s.OK(t, "inspect", "--format", "{{.State.Pid}}", "ends")
	s.Kill()
	put(t, filepath.Join(dir, "go"), "")
	stack.Eventually(t, "its end", func() bool { _, err := os.Stat("/proc/" + pid); return err != nil })
	s.StartDaemon(t)
	if got := s.OK(t, "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "ends"); got != "exited 23" {
		t.Errorf("it is %q", got)
	}
	if got := s.OK(t, "logs", "ends"); got != "last words" {
		t.Errorf("its log is %q", got)
	}
}

// A socket that the service manager holds: clients wait through a restart.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	if err := os.MkdirAll(s.Run, 0o711); err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.Socket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close()
	socket, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	first := make(chan stack.Result)
	go func() { first <- s.Lus("network", "create", "before") }()
	time.Sleep(100 * time.Millisecond) // the command waits in the socket's queue
	if err := s.UpWith(socket); err != nil {
		t.Fatal(err)
	}
	(<-first).Want(t, 0)

	s.Kill()
	second := make(chan stack.Result)
	go func() { second <- s.Lus("network", "ls") }()
	time.Sleep(100 * time.Millisecond)
	if err := s.UpWith(socket); err != nil {
		t.Fatal(err)
	}
	stack.Says(t, (<-second).Want(t, 0), "before")
}

package scenarios

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lus/test/stack"
)

// kills is how often the daemon dies in TestSurvive.
const kills = 100

// TestSurvive kills the daemon with SIGKILL a hundred times while containers
// are started, followed and entered. They run on, names resolve while it is
// dead, no line written is lost, and every exit code is known afterwards.
func TestSurvive(t *testing.T) {
	s := stack.Start(t)
	s.OK(t, "network", "create", "app")
	s.OK(t, "run", "-d", "--name", "server", "--network", "app", stack.Busybox, "httpd", "-f", "-h", "/etc")
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

	l := load{s: s, known: map[string]int{}}
	stop := l.start()
	for range kills {
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		s.Kill()
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		s.StartDaemon(t)
	}
	stop()

	for name, pid := range pids {
		if got := s.OK(t, "inspect", "--format", "{{.State.Status}} {{.State.Pid}}", name); got != "running "+pid {
			t.Errorf("%s is %s, was running with pid %s", name, got, pid)
		}
	}
	for _, w := range writers {
		numbered(t, s, w)
	}
	client := s.Lus("logs", "-t", "client")
	client.Want(t, 0)
	if lost := strings.Count(client.Out, "LOST"); lost > 0 || strings.Count(client.Out, "reached") < kills {
		t.Errorf("the client reached the server by name %d times and lost it %d times:\n%s", strings.Count(client.Out, "reached"), lost, client.Err)
	}
	l.check(t)
}

// numbered checks that a writer's lines are 1, 2, 3 and so on without a gap.
func numbered(t *testing.T, s *stack.Stack, name string) {
	t.Helper()
	lines := strings.Fields(s.OK(t, "logs", name))
	for i, line := range lines {
		if line != strconv.Itoa(i+1) {
			t.Errorf("%s: line %d of %d is %q", name, i+1, len(lines), line)
			return
		}
	}
	if len(lines) < kills {
		t.Errorf("%s wrote only %d lines", name, len(lines))
	}
}

// load is what people do meanwhile. A command may fail, because the daemon just
// died; what one was told must hold.
type load struct {
	s    *stack.Stack
	next atomic.Int64

	mu       sync.Mutex
	known    map[string]int // id of a started container -> the code it must end with
	execs    int
	wrong    []string
	followed int
}

// start begins the load and returns what ends it.
func (l *load) start() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, work := range []func(){l.detached, l.exec, l.follow} {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					work()
				}
			}
		})
	}
	return func() {
		close(done)
		wg.Wait()
	}
}

func (l *load) detached() {
	code := int(l.next.Add(1)) % 200
	r := l.s.Lus("run", "-d", stack.Busybox, "sh", "-c", fmt.Sprintf("echo begin %d; usleep 40000; echo end %d; exit %d", code, code, code))
	if id := strings.TrimSpace(r.Out); r.Code == 0 && len(id) == 64 {
		l.mu.Lock()
		l.known[id] = code
		l.mu.Unlock()
	}
}

func (l *load) exec() {
	r := l.s.Lus("exec", "server", "sh", "-c", "echo in; exit 42")
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case r.Code == 42 && r.Out == "in\n":
		l.execs++
	case r.Code == 0 || r.Code == 42:
		l.wrong = append(l.wrong, fmt.Sprintf("exec gave code %d and %q", r.Code, r.Out))
	}
}

func (l *load) follow() {
	out := strings.Fields(l.s.Lus("logs", "--tail", "50", "writer1").Out)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 1; i < len(out); i++ {
		a, _ := strconv.Atoi(out[i-1])
		if b, _ := strconv.Atoi(out[i]); b != a+1 && i < len(out)-1 {
			l.wrong = append(l.wrong, fmt.Sprintf("logs gave %d after %d", b, a))
		}
	}
	l.followed++
}

func (l *load) check(t *testing.T) {
	t.Helper()
	for id, code := range l.known {
		stack.Eventually(t, "the end of "+id[:12], func() bool {
			return l.s.OK(t, "inspect", "--format", "{{.State.Status}}", id) == "exited"
		})
		if got := l.s.OK(t, "inspect", "--format", "{{.State.ExitCode}}", id); got != strconv.Itoa(code) {
			t.Errorf("%s ended with %s, want %d", id[:12], got, code)
		}
		if want := fmt.Sprintf("begin %d\nend %d", code, code); l.s.OK(t, "logs", id) != want {
			t.Errorf("%s: its log is %q, want %q", id[:12], l.s.OK(t, "logs", id), want)
		}
	}
	for _, w := range l.wrong {
		t.Error(w)
	}
	if len(l.known) == 0 || l.execs == 0 || l.followed == 0 {
		t.Errorf("no load: %d containers, %d execs, %d looks at logs", len(l.known), l.execs, l.followed)
	}
	t.Logf("%d kills, %d containers with their exit codes, %d execs, %d looks at logs", kills, len(l.known), l.execs, l.followed)
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

func TestAnExitWhileTheDaemonIsDeadIsKnown(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "run", "-d", "--name", "ends", stack.Busybox, "sh", "-c", "sleep 0.3; echo last words; exit 23")
	s.Kill()
	time.Sleep(600 * time.Millisecond)
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

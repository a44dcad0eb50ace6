package repos

import (
	"bytes"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lus/test/need"
)

const (
	limit    = time.Minute
	patience = 30 * time.Second
)

// run begins a git of a process group of its own, as BuildKit does, and returns what
// it says and when it has ended.
func run(t *testing.T, cmd *exec.Cmd) (said *bytes.Buffer, ended <-chan error) {
	t.Helper()
	said = &bytes.Buffer{}
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	return said, done
}

// connected is a server's end of the connection of a git that was sent to it.
func connected(t *testing.T, scheme string) (net.Conn, *bytes.Buffer, <-chan error) {
	t.Helper()
	git := need.Program(t, "git", "git")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	said, ended := run(t, exec.Command(git, "-c", "http.proxy=", "ls-remote", scheme+"://"+l.Addr().String()+"/repo.git"))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, said, ended
}

// looking looks until git has ended, the time between two looks said to be passed.
func looking(t *testing.T, w *watch, passed time.Duration, ended <-chan error) {
	t.Helper()
	var known map[process]*command
	for deadline := time.Now().Add(patience); ; {
		select {
		case <-ended:
			return
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("git is still waiting")
		}
		known = w.look(known, passed)
	}
}

// Whether a server says nothing after the request, or does not even greet, git is
// ended, and says why.
func TestGitIsEndedWhereItsServerIsSilent(t *testing.T) { //nolint:paralleltest // looks at all gits of this process
	for _, scheme := range []string{"git", "https", "http"} {
		_, said, ended := connected(t, scheme)
		looking(t, &watch{limit: limit}, limit/4, ended)
		if !strings.Contains(said.String(), "the other side stopped sending for 1m0s") {
			t.Errorf("%s: it says %q", scheme, said)
		}
	}
}

// However slow a server is, while it sends something git is left to wait for it.
func TestGitIsLeftWhereItsServerIsSlow(t *testing.T) { //nolint:paralleltest // looks at all gits of this process
	c, said, ended := connected(t, "git")
	w := &watch{limit: limit}
	known := w.look(nil, 0)
	for range 20 {
		if _, err := c.Write([]byte("0032")[:1]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		known = w.look(known, limit-1)
		select {
		case err := <-ended:
			if strings.Contains(said.String(), "stopped") {
				t.Fatalf("it was ended: %v: %s", err, said)
			}
			return // it does not like what it got
		default:
		}
	}
	looking(t, w, limit/4, ended)
}

// A git that waits for something else than a server is none of the watch's concern.
func TestGitIsLeftWhereItHasNoServer(t *testing.T) { //nolint:paralleltest // looks at all gits of this process
	cmd := exec.Command(need.Program(t, "git", "git"), "hash-object", "--stdin")
	in, hold := io.Pipe()
	cmd.Stdin = in
	_, ended := run(t, cmd)
	w := &watch{limit: limit}
	var known map[process]*command
	for range 20 {
		time.Sleep(5 * time.Millisecond)
		known = w.look(known, limit)
	}
	if len(known) != 1 {
		t.Errorf("%d gits were seen", len(known))
	}
	_ = hold.Close()
	if err := <-ended; err != nil {
		t.Errorf("it was ended: %v", err)
	}
}

// A helper that starts a connection counts, and so does whoever needs the watch: it
// runs as long as one of them does.
func TestTheWatchRunsWhileSomebodyNeedsIt(t *testing.T) { //nolint:paralleltest // looks at all gits of this process
	w := &watch{limit: 80 * time.Millisecond}
	first, second := w.begin(), w.begin()
	first()
	_, said, ended := connected(t, "https")
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("git is still waiting")
	}
	second()
	if w.users != 0 || !strings.Contains(said.String(), "stopped sending") {
		t.Errorf("%d users; git says %q", w.users, said)
	}
	select {
	case <-w.ended:
	default:
		t.Error("it still runs")
	}
	if all, _ := filepath.Glob("/proc/self/task/*/children"); len(all) == 0 {
		t.Error("the kernel does not tell of children")
	}
}

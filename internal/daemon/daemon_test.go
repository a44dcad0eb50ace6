package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/internal/base/layout"
	"lus/internal/linux/dns/server"
	"lus/test/need"
)

// childEnv tells the test's own binary to be a daemon that was given a socket.
const childEnv = "LUS_DAEMON_TEST_CHILD"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == lusDNS {
		os.Exit(server.Main(os.Args[1:], os.Stderr))
	}
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

// child answers one client on the socket it finds and says which one it is.
func child(dir string) int {
	ln, err := listen(layout.Resolve(dir, dir))
	if err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	c, err := ln.Accept()
	if err != nil {
		return 1
	}
	defer c.Close()
	_, _ = io.WriteString(c, ln.Addr().String()+" "+os.Getenv("LISTEN_FDS"))
	return 0
}

// story is what happened, in order.
type story struct {
	mu    sync.Mutex
	lines []string
}

func (s *story) tell(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

func (s *story) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// twoParts is a daemon of two parts, each of which runs and holds something.
func twoParts(s *story, handler http.HandlerFunc) *daemon {
	d := &daemon{log: slog.New(slog.DiscardHandler), handler: handler, ready: func(context.Context) { s.tell("ready") }, onTidied: func(func()) {}}
	for _, name := range []string{"first", "second"} {
		d.closes(name, func() error { s.tell(name + " closes"); return nil })
		d.runs(name, func(ctx context.Context) error {
			<-ctx.Done()
			s.tell(name + " stops")
			return ctx.Err()
		})
	}
	return d
}

func socket(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(short(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// short is a folder whose path leaves room for a socket's name.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lus-d-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func get(ln net.Listener) error {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", ln.Addr().String()) },
	}}
	answer, err := client.Get("http://lus/")
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return errors.Join(err, answer.Body.Close())
}

func TestWhatStartedLastStopsFirst(t *testing.T) {
	t.Parallel()
	var s story
	ctx, cancel := context.WithCancel(context.Background())
	asked := make(chan struct{})
	d := twoParts(&s, func(_ http.ResponseWriter, r *http.Request) {
		s.tell("asked")
		close(asked)
		<-r.Context().Done() // as one that follows logs does
		s.tell("answered")
	})
	ln, done := socket(t), make(chan error)
	go func() { done <- d.run(ctx, ln) }()
	go func() { _ = get(ln) }() // its daemon stops meanwhile
	<-asked
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	want := []string{"ready", "asked", "answered", "second stops", "first stops", "second closes", "first closes"}
	if got := s.told(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if _, err := net.Dial("unix", ln.Addr().String()); err == nil {
		t.Error("the socket still answers")
	}
}

func TestNobodyIsAnsweredBeforeAllIsReady(t *testing.T) {
	t.Parallel()
	var s story
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := twoParts(&s, func(http.ResponseWriter, *http.Request) { s.tell("asked") })
	ln, asking, done := socket(t), make(chan error, 1), make(chan error)
	d.ready = func(context.Context) {
		// A client that is there already waits in the socket's queue.
		c, err := net.Dial("unix", ln.Addr().String())
		if err == nil {
			_, err = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		}
		s.tell("ready")
		go func() {
			if err == nil {
				_, err = io.Copy(io.Discard, c)
			}
			asking <- err
		}()
	}
	go func() { done <- d.run(ctx, ln) }()
	if err := <-asking; err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := s.told(); !slices.Equal(got[:2], []string{"ready", "asked"}) {
		t.Errorf("got %q", got)
	}
}

func TestAPartThatFailsEndsTheDaemonAndIsNamed(t *testing.T) {
	t.Parallel()
	var s story
	d := twoParts(&s, func(http.ResponseWriter, *http.Request) {})
	d.closes("third", func() error { return errors.New("it sticks") })
	d.runs("third", func(context.Context) error { return errors.New("it broke") })
	err := d.run(context.Background(), socket(t))
	if err == nil || !strings.Contains(err.Error(), "third: it broke") || !strings.Contains(err.Error(), "closing third: it sticks") {
		t.Errorf("it ended with %v", err)
	}
	got := s.told()
	if want := []string{"second stops", "first stops", "second closes", "first closes"}; len(got) < 4 || !slices.Equal(got[len(got)-4:], want) {
		t.Errorf("got %q", got)
	}
}

func TestOneDaemonOwnsARoot(t *testing.T) {
	t.Parallel()
	l := layout.Resolve(filepath.Join(short(t), "root"), filepath.Join(short(t), "run"))
	first, err := claim(l)
	if err != nil {
		t.Fatal(err)
	}
	second, err := claim(l)
	if err == nil {
		second.Close()
		t.Fatal("two own it")
	}
	for _, word := range []string{l.Root, "pid " + strconv.Itoa(os.Getpid()), "--root"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not said in %v", word, err)
		}
	}
	first.Close()
	sooner(t, "its lock", func() error { second, err = claim(l); return err })
	second.Close()
}

// sooner or later what a closed file held is given up: a process that another
// test has just forked has a copy of it until it becomes its program.
func sooner(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s is given up, and yet %v", what, err)
}

// A daemon that was killed while it forked leaves its lock to the child for a
// moment.
func TestTheLockOfADeadDaemonIsWaitedFor(t *testing.T) {
	t.Parallel()
	l := layout.Resolve(filepath.Join(short(t), "root"), filepath.Join(short(t), "run"))
	child, err := claim(l)
	if err != nil {
		t.Fatal(err)
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.LockFile(), []byte(strconv.Itoa(dead.Process.Pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { child.Close() })
	next, err := claim(l)
	if err != nil {
		t.Fatal(err)
	}
	next.Close()
}

func TestTheSocketOfADeadDaemonIsTakenOverAndThatOfALivingOneIsNot(t *testing.T) {
	t.Parallel()
	l := layout.Resolve("", short(t))
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.Socket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	var living net.Listener
	sooner(t, "its socket", func() error { living, err = listen(l); return err })
	defer living.Close()
	if st, err := os.Stat(l.Socket()); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", st.Mode(), err)
	}
	if ln, err := listen(l); err == nil || !strings.Contains(err.Error(), "in use by another daemon") {
		t.Errorf("a second one: %v, %v", ln, err)
	}
	l.Sock = filepath.Join(l.Run, strings.Repeat("long", 30))
	if _, err := listen(l); err == nil || !strings.Contains(err.Error(), "107 bytes") {
		t.Errorf("a path that is too long: %v", err)
	}
}

// TestASocketOfTheServiceManager: with LISTEN_FDS the first descriptor is it;
// what is meant for another process is not.
func TestASocketOfTheServiceManager(t *testing.T) {
	t.Parallel()
	dir := short(t)
	given, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "given"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	file, err := given.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for pid, want := range map[string]string{"$$": filepath.Join(dir, "given") + " ", "1": filepath.Join(dir, "lus.sock") + " 1"} {
		cmd := exec.Command("sh", "-c", "LISTEN_FDS=1 LISTEN_PID="+pid+` exec "$0"`, os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		cmd.ExtraFiles = []*os.File{file}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		path, _, _ := strings.Cut(want, " ")
		var got []byte
		for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			c, err := net.Dial("unix", path)
			if err != nil {
				continue
			}
			got, _ = io.ReadAll(c)
			c.Close()
			break
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, stderr.String())
		}
		if string(got) != want {
			t.Errorf("LISTEN_PID=%s: got %q, want %q", pid, got, want)
		}
	}
}

func TestTheCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, 0, "lusd --root /srv/lus"},
		{[]string{"--version"}, 0, "lusd "},
		{[]string{"start"}, 2, "unexpected argument"},
		{[]string{"--nonsense"}, 2, "nonsense"},
	} {
		var out bytes.Buffer
		if code := Main(t.Context(), c.args, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%q: code %d, %s", c.args, code, out.String())
		}
	}
}

// TestCgroupsGoOnceNobodyIsInThem: those who are keep theirs.
func TestCgroupsGoOnceNobodyIsInThem(t *testing.T) {
	t.Parallel()
	need.Root(t)
	top := "/sys/fs/cgroup/pids"
	if _, err := os.Stat(top + "/cgroup.procs"); err != nil {
		top = "/sys/fs/cgroup"
	}
	name := "lus-test-retire-" + strconv.Itoa(os.Getpid())
	inner := filepath.Join(top, name, "inner")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		need.Unmet(t, "a cgroup tree to write to: %v", err)
	}
	cmd := exec.Command("sh", "-c", "echo 0 >"+inner+"/cgroup.procs && echo in && exec sleep 1000")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := dropCgroups(brief, name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("somebody is in it: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := dropCgroups(ctx, name); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(top, name)); err == nil {
		t.Error("it is still there")
	}
}

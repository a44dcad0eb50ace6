package keeper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
	"lus/internal/keeper/client"
	"lus/internal/keeper/program"
	initproc "lus/internal/linux/init"
	"lus/internal/model/task"
	"lus/internal/store/logs"
	"lus/test/need"
)

// TestMain lets the test's own binary be lus-keeper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "--") {
		runtime.LockOSThread() // as the program does
		os.Exit(program.Main(os.Args[1:], os.Stderr))
	}
	os.Exit(m.Run())
}

// long is how long something may take on a slow machine that has much else to do.
const long = 5 * time.Minute

// bench is a keeper of a test's own, and a client of it.
type bench struct {
	*client.Client
	t     testing.TB
	where layout.Layout
	self  string
}

func start(t testing.TB) *bench {
	t.Helper()
	need.Root(t)
	if f, err := initproc.Open(); err != nil {
		need.Unmet(t, "the init: run internal/linux/init/build.sh")
	} else {
		f.Close()
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, self: self, where: layout.Resolve(filepath.Join(dir, "root"), filepath.Join(dir, "run"))}
	b.ensure()
	t.Cleanup(b.stop)
	return b
}

func (b *bench) ensure() {
	b.t.Helper()
	c, err := client.Ensure(context.Background(), b.where, b.self)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(b.where.Run, "keeper.log"))
		b.t.Fatalf("%v\n%s", err, log)
	}
	b.Client = c
}

// connect returns one more client.
func (b *bench) connect() *client.Client {
	b.t.Helper()
	c, err := client.Connect(b.t.Context(), b.where.KeeperSocket())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	return c
}

// stop ends everything, and checks that nothing is left.
func (b *bench) stop() {
	ctx := context.Background()
	list, err := b.List(ctx)
	if err != nil {
		b.t.Errorf("the keeper is gone at the end: %v", err)
		return
	}
	for _, s := range list {
		if err := b.Delete(ctx, s.Key); err != nil {
			b.t.Error(err)
		}
	}
	if err := b.Quit(ctx); err != nil {
		b.t.Error(err)
	}
	<-b.Done()
	_ = b.Close()
	waitGone(b.t, b.Greeting().Pid)
	left, _ := filepath.Glob("/sys/fs/cgroup/*/lus-" + b.where.Instance())
	records, _ := filepath.Glob(filepath.Join(b.where.Run, "keeper", "*"))
	if len(left)+len(records) > 0 {
		b.t.Errorf("left behind: %q %q", left, records)
	}
	if b.t.Failed() {
		log, _ := os.ReadFile(filepath.Join(b.where.Run, "keeper.log"))
		b.t.Logf("keeper.log:\n%s", log)
	}
}

// waitGone waits for a process that is not our child.
func waitGone(t testing.TB, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(long.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n == 0 {
			t.Errorf("process %d is still there", pid)
		}
		return
	}
}

func key(name string) task.Key { return task.Key{Container: name} }

// script is an init's program that becomes a shell with a script.
func script(t testing.TB, text string, change func(*initproc.Last)) *os.File {
	t.Helper()
	var p initproc.Program
	p.Ready()
	p.Wait()
	last := &initproc.Last{
		Umask: 0o22, Cwd: "/", Name: "/bin/sh", Args: []string{"sh", "-c", text}, Env: []string{"PATH=/usr/bin:/bin"},
		Caps: initproc.Capabilities{Bounding: ^uint64(0), Effective: ^uint64(0), Permitted: ^uint64(0)},
	}
	if change != nil {
		change(last)
	}
	p.Exec(last)
	f, err := p.Memfd()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func (b *bench) logPath(name string) string { return filepath.Join(b.where.Run, name+".log") }

func (b *bench) logged(name string) *task.Create {
	return &task.Create{Key: key(name), Streams: task.Streams{Kind: task.StreamLog, Log: task.Log{Path: b.logPath(name)}}}
}

// run creates a process and lets it go.
func (b *bench) run(c *task.Create, text string, files ...*os.File) task.Status {
	b.t.Helper()
	if _, err := b.Create(b.t.Context(), c, append([]*os.File{script(b.t, text, nil)}, files...)...); err != nil {
		b.t.Fatal(err)
	}
	s, err := b.Go(b.t.Context(), c.Key)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// end waits for the end of a process, by another client.
func (b *bench) end(k task.Key) task.Exit {
	b.t.Helper()
	return *b.endOf(b.connect(), k).Exit
}

func (b *bench) endOf(c *client.Client, k task.Key) task.Status {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	var got task.Status
	err := c.Watch(ctx, func(s task.Status) {
		if s.Key == k {
			got = s
			cancel()
		}
	})
	if got.Exit == nil {
		b.t.Fatalf("no end of %v was told: %v", k, err)
	}
	return got
}

// output is what a process wrote, one string for each stream.
func (b *bench) output(name string) (stdout, stderr, notices string) {
	b.t.Helper()
	return b.logOf(b.logPath(name))
}

func (b *bench) logOf(path string) (stdout, stderr, notices string) {
	b.t.Helper()
	r, err := logs.Open(path, logs.Options{Tail: -1, Notices: true})
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	var out [4]bytes.Buffer
	for {
		e, err := r.Next(b.t.Context())
		if errors.Is(err, io.EOF) {
			return out[logs.Stdout].String(), out[logs.Stderr].String(), out[logs.Notice].String()
		}
		if err != nil {
			b.t.Fatal(err)
		}
		out[e.Stream].Write(e.Data)
	}
}

func TestExitCodesAndSignals(t *testing.T) {
	b := start(t)
	for name, c := range map[string]struct {
		script string
		want   task.Exit
	}{
		"zero":    {"exit 0", task.Exit{}},
		"seven":   {"exit 7", task.Exit{Code: 7}},
		"killed":  {"kill -9 $$", task.Exit{Code: 137, Signal: 9}},
		"orphans": {"(sleep 0.05; exit 3) & wait; exit 4", task.Exit{Code: 4}},
		"term":    {"kill -15 $$", task.Exit{Code: 143, Signal: 15}},
	} {
		s := b.run(b.logged(name), c.script)
		if s.Pid == 0 && s.Exit == nil || s.Started.IsZero() {
			t.Errorf("%s: started as %+v", name, s)
		}
		got := b.end(key(name))
		if got.At.IsZero() {
			t.Errorf("%s: no time", name)
		}
		got.At = time.Time{}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestOutputIsLoggedByStream(t *testing.T) {
	b := start(t)
	b.run(b.logged("out"), "echo to out; echo to err >&2; printf 'no end'")
	b.end(key("out"))
	out, stderr, _ := b.output("out")
	if out != "to out\nno end" || stderr != "to err\n" {
		t.Errorf("stdout %q, stderr %q", out, stderr)
	}
}

func TestAStepThatFailsIsTold(t *testing.T) {
	b := start(t)
	for name, c := range map[string]struct {
		file string
		kind errs.Kind
	}{
		"missing": {"/no/such/program", errs.CommandNotFound},
		"folder":  {"/etc", errs.CommandNotExecutable},
		"file":    {"/etc/passwd", errs.CommandNotExecutable},
	} {
		f := script(t, "", func(l *initproc.Last) { l.Name = c.file })
		if _, err := b.Create(t.Context(), b.logged(name), f); err != nil {
			t.Fatal(err)
		}
		_, err := b.Go(t.Context(), key(name))
		if !errs.Is(err, c.kind) {
			t.Errorf("%s: %v of kind %v, want %v", name, err, errs.KindOf(err), c.kind)
		}
		if exit := b.end(key(name)); exit.Step == "" || exit.Errno == 0 || exit.Code == 0 {
			t.Errorf("%s: %+v", name, exit)
		}
	}
}

// One request instead of two, with the answer of the second.
func TestAProcessCanGoAtOnce(t *testing.T) {
	b := start(t)
	for name, streams := range map[string]task.Streams{"logged": b.logged("logged").Streams, "silent": {Kind: task.StreamNull}} {
		c := &task.Create{Key: key(name), Streams: streams, Go: true}
		s, err := b.Create(t.Context(), c, script(t, "echo said; read x; exit 5", nil))
		if err != nil || s.Started.IsZero() || s.Phase == task.Waiting {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if exit := b.end(key(name)); exit.Code != 5 {
			t.Errorf("%s: %+v", name, exit)
		}
	}
	if out, _, _ := b.output("logged"); out != "said\n" {
		t.Errorf("the output is %q", out)
	}
	missing := b.logged("missing")
	missing.Go = true
	f := script(t, "", func(l *initproc.Last) { l.Name = "/no/such/program" })
	if _, err := b.Create(t.Context(), missing, f); !errs.Is(err, errs.CommandNotFound) {
		t.Errorf("missing: %v", err)
	}
	if exit := b.end(missing.Key); exit.Step == "" {
		t.Errorf("missing: %+v", exit)
	}
}

// An end before the program is no start of it, though nobody held the init back.
func TestAnInitThatEndsEarlyHasNotStarted(t *testing.T) {
	b := start(t)
	var p initproc.Program
	p.Done() // without a word
	f, err := p.Memfd()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := b.logged("early")
	c.Go = true
	if s, err := b.Create(t.Context(), c, f); err == nil {
		t.Errorf("it started: %+v", s)
	}
	b.end(c.Key)
}

func TestCreateIsIdempotent(t *testing.T) {
	b := start(t)
	c := b.logged("twice")
	c.Generation = 3
	c.Record = []byte("what the daemon wants to know")
	f := script(t, "exec sleep 60", nil)
	first, err := b.Create(t.Context(), c, f)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Create(t.Context(), c, f)
	if err != nil || again.Pid != first.Pid {
		t.Errorf("again: %+v, %v; first %+v", again, err, first)
	}
	c.Generation = 4
	if _, err := b.Create(t.Context(), c, f); !errs.Is(err, errs.Conflict) {
		t.Errorf("another generation: %v", err)
	}
	for range 2 {
		if s, err := b.Go(t.Context(), c.Key); err != nil || s.Phase != task.Running {
			t.Errorf("go: %+v, %v", s, err)
		}
	}
	list, err := b.List(t.Context())
	if err != nil || len(list) != 1 || string(list[0].Record) != string(c.Record) || list[0].StartTime == 0 {
		t.Errorf("list: %+v, %v", list, err)
	}
	if err := b.Ack(t.Context(), c.Key, 3); !errs.Is(err, errs.Conflict) {
		t.Errorf("acknowledging what runs: %v", err)
	}
	if err := b.Delete(t.Context(), c.Key); err != nil {
		t.Error(err)
	}
	waitGone(t, first.Pid)
	if list, _ := b.List(t.Context()); len(list) != 0 {
		t.Errorf("after delete: %+v", list)
	}
}

func TestAnExitIsKeptUntilItIsAcknowledged(t *testing.T) {
	b := start(t)
	b.run(b.logged("kept"), "exit 5")
	for range 3 { // by every client that comes
		if got := b.end(key("kept")); got.Code != 5 {
			t.Fatalf("%+v", got)
		}
	}
	c := b.logged("kept")
	c.Generation = 1
	if _, err := b.Create(t.Context(), c, script(t, "", nil)); !errs.Is(err, errs.Conflict) {
		t.Errorf("a new generation before the acknowledgement: %v", err)
	}
	if err := b.Ack(t.Context(), key("kept"), 99); err != nil {
		t.Error(err)
	}
	b.end(key("kept")) // that was another generation's
	for range 2 {
		if err := b.Ack(t.Context(), key("kept"), 0); err != nil {
			t.Error(err)
		}
	}
	if list, _ := b.List(t.Context()); len(list) != 0 {
		t.Errorf("still there: %+v", list)
	}
}

func TestStandardInput(t *testing.T) {
	b := start(t)
	c := b.logged("in")
	c.Streams.Stdin = true
	b.run(c, "cat; echo end")
	in, err := b.Stdin(t.Context(), c.Key)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(in, "typed\n")
	in.Close()
	if err := b.CloseStdin(t.Context(), c.Key); err != nil {
		t.Fatal(err)
	}
	b.end(c.Key)
	if out, _, _ := b.output("in"); out != "typed\nend\n" {
		t.Errorf("got %q", out)
	}
	b.run(b.logged("none"), "exec sleep 60") // no child that would outlive it, in the keeper's cgroup
	if _, err := b.Stdin(t.Context(), key("none")); !errs.Is(err, errs.Conflict) {
		t.Errorf("no input: %v", err)
	}
}

func TestTerminal(t *testing.T) {
	b := start(t)
	c := b.logged("tty")
	c.Streams.Kind, c.Streams.Rows, c.Streams.Cols = task.StreamTerminal, 30, 100
	f := script(t, "stty size; trap 'stty size; exit 6' WINCH; read line; echo got $line; while :; do sleep 0.02; done", func(l *initproc.Last) { l.Terminal = true })
	if _, err := b.Create(t.Context(), c, f); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Go(t.Context(), c.Key); err != nil {
		t.Fatal(err)
	}
	hub := logs.NewHub()
	defer hub.Close()
	r, err := logs.Open(b.logPath("tty"), logs.Options{Tail: -1, Hub: hub})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var seen strings.Builder
	expect := func(text string) {
		t.Helper()
		for !strings.Contains(seen.String(), text) {
			e, err := r.Next(t.Context())
			if err != nil {
				t.Fatalf("%v; seen %q", err, seen.String())
			}
			seen.Write(e.Data)
		}
	}
	expect("30 100\r\n")
	in, err := b.Stdin(t.Context(), c.Key)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(in, "hello\n")
	in.Close()
	expect("got hello\r\n")
	if err := b.Resize(t.Context(), c.Key, 40, 120); err != nil {
		t.Fatal(err)
	}
	expect("40 120\r\n")
	if exit := b.end(c.Key); exit.Code != 6 {
		t.Errorf("%+v", exit)
	}
}

func TestGivenAndNullStreams(t *testing.T) {
	b := start(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := &task.Create{Key: key("given"), Streams: task.Streams{Kind: task.StreamGiven}}
	b.run(c, "echo out; echo err >&2", os.Stdin, w, w)
	w.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "out\nerr\n" {
		t.Errorf("%q, %v", got, err)
	}
	b.run(&task.Create{Key: key("null"), Streams: task.Streams{Kind: task.StreamNull}}, "test $(readlink /proc/$$/fd/1) = /dev/null && exit 9")
	if exit := b.end(key("null")); exit.Code != 9 {
		t.Errorf("%+v", exit)
	}
}

func TestUserOwnsItsStreams(t *testing.T) {
	b := start(t)
	for _, kind := range []string{task.StreamLog, task.StreamTerminal} {
		c := b.logged(kind)
		c.Streams.Kind, c.Streams.UID, c.Streams.GID = kind, 1234, 1235
		f := script(t, "echo opened >/proc/self/fd/1", func(l *initproc.Last) { l.UID, l.GID = 1234, 1235 })
		if _, err := b.Create(t.Context(), c, f); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Go(t.Context(), c.Key); err != nil {
			t.Fatal(err)
		}
		b.end(c.Key)
		if out, stderr, _ := b.output(kind); strings.TrimSpace(out) != "opened" {
			t.Errorf("%s: %q %q", kind, out, stderr)
		}
	}
}

func TestNamespaces(t *testing.T) {
	b := start(t)
	c := b.logged("ns")
	c.CloneFlags = unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS
	s, err := b.Create(t.Context(), c, script(t, "echo $$; cat >/dev/null", nil))
	if err != nil {
		t.Fatal(err)
	}
	mine, _ := os.Readlink("/proc/self/ns/net")
	if theirs, err := os.Readlink("/proc/" + strconv.Itoa(s.Pid) + "/ns/net"); err != nil || theirs == mine {
		t.Errorf("network namespace %s, %v", theirs, err)
	}
	if _, err := b.Go(t.Context(), c.Key); err != nil {
		t.Fatal(err)
	}
	b.end(c.Key)
	if out, _, _ := b.output("ns"); out != "1\n" {
		t.Errorf("pid %q", out)
	}
	c = b.logged("userns")
	c.CloneFlags = unix.CLONE_NEWUSER
	if _, err := b.Create(t.Context(), c, script(t, "", nil)); !errs.Is(err, errs.Invalid) {
		t.Errorf("a user namespace: %v", err)
	}
}

func TestAnInitThatForksIsReplacedByItsChild(t *testing.T) {
	b := start(t)
	c := b.logged("host")
	c.CloneFlags = unix.CLONE_NEWPID
	host := b.run(c, "exec sleep 60")
	ns, err := os.Open("/proc/" + strconv.Itoa(host.Pid) + "/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	for i, text := range []string{"exit 21", "sleep 0.02; exit 22", "kill -9 $$"} {
		want := []int{21, 22, 137}[i]
		var p initproc.Program
		p.Setns(ns, unix.CLONE_NEWPID)
		p.Fork()
		p.Wait()
		p.Exec(&initproc.Last{Cwd: "/", Name: "/bin/sh", Args: []string{"sh", "-c", text}, Env: []string{"PATH=/bin:/usr/bin"}})
		f, err := p.Memfd()
		if err != nil {
			t.Fatal(err)
		}
		x := b.logged("host")
		x.Exec, x.Files = "x"+strconv.Itoa(i), 1
		for _, x.Go = range []bool{false, true} {
			x.Generation++
			s, err := b.Create(t.Context(), x, f, ns)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Go(t.Context(), x.Key); err != nil {
				t.Fatal(err)
			}
			// One that goes at once may have ended before it is answered.
			if got := b.end(x.Key); got.Code != want || s.Pid == 0 && !x.Go {
				t.Errorf("%q: %+v, want %d", text, got, want)
			}
			if err := b.Ack(t.Context(), x.Key, x.Generation); err != nil {
				t.Error(err)
			}
		}
		f.Close()
	}
}

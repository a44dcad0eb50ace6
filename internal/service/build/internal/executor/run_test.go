package executor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/sys/user"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
	"lus/internal/keeper/client"
	"lus/internal/keeper/program"
	initproc "lus/internal/linux/init"
	"lus/internal/linux/runtime"
	"lus/test/need"
)

// TestMain lets the test's own binary be lus-keeper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "--") {
		os.Exit(program.Main(os.Args[1:], os.Stderr))
	}
	os.Exit(m.Run())
}

// room is an executor on a keeper of the test's own, and a root for its steps.
type room struct {
	*Executor
	t    *testing.T
	root string
}

func newRoom(t *testing.T) *room {
	t.Helper()
	need.Root(t)
	if f, err := initproc.Open(); err != nil {
		need.Unmet(t, "the init: run internal/linux/init/build.sh")
	} else {
		f.Close()
	}
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	where := layout.Resolve(filepath.Join(dir, "state"), filepath.Join(dir, "run"))
	self, err := os.Executable()
	must(t, err)
	keeper, err := client.Ensure(context.Background(), where, self)
	must(t, err)
	rt, err := runtime.New(keeper)
	must(t, err)
	cgroup := "lus-test-step-" + where.Instance()
	e, err := New(Options{Dir: filepath.Join(dir, "steps"), Runtime: rt, Cgroup: cgroup})
	must(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		must(t, e.Close())
		if list, err := keeper.List(ctx); err != nil || len(list) > 0 {
			t.Errorf("the keeper still has %+v (%v)", list, err)
		}
		must(t, rt.Close(cgroup))
		must(t, keeper.Quit(ctx))
		<-keeper.Done()
		keeper.Close()
		if left, _ := os.ReadDir(filepath.Join(dir, "steps")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return &room{Executor: e, t: t, root: need.BusyboxRootfs(t)}
}

// folder is a host's folder as BuildKit's cache would hand it over.
type folder string

func (f folder) Mount(context.Context, bool) (executor.MountableRef, error) { return f.ref(), nil }
func (f folder) ref() executor.MountableRef                                 { return folderRef(f) }

type folderRef string

func (f folderRef) Mount() ([]mount.Mount, func() error, error) {
	return []mount.Mount{{Type: "bind", Source: string(f), Options: []string{"rbind", "rw"}}}, nil, nil
}
func (f folderRef) IdentityMapping() *user.IdentityMapping { return nil }

// closer makes a writer one that can be closed.
type closer struct{ io.Writer }

func (closer) Close() error { return nil }

func (r *room) process(out io.Writer, words ...string) executor.ProcessInfo {
	return executor.ProcessInfo{
		Meta:   executor.Meta{Args: words, Env: []string{"PATH=/bin"}, Cwd: "/"},
		Stdout: closer{out}, Stderr: closer{out},
	}
}

func (r *room) run(ctx context.Context, id string, p executor.ProcessInfo, started chan struct{}) error {
	var s chan<- struct{}
	if started != nil {
		s = started
	}
	_, err := r.Run(ctx, id, executor.Mount{Src: folder(r.root)}, nil, p, s)
	return err
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *gatewayapi.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("error %v, want an exit", err)
	}
	return int(exit.ExitCode)
}

func TestExitCodes(t *testing.T) {
	r := newRoom(t)
	for words, want := range map[string]int{"exit 3": 3, "sh -c 'kill -9 $$'; exit $?": 137, "exit 255": 255} {
		if got := exitCode(t, r.run(t.Context(), "", r.process(io.Discard, "sh", "-c", words), nil)); got != want {
			t.Errorf("%q: exit code %d, want %d", words, got, want)
		}
	}
	must(t, r.run(t.Context(), "", r.process(io.Discard, "true"), nil))
	p := r.process(io.Discard, "sh", "-c", "exit 3")
	p.Meta.ValidExitCodes = []int{3}
	must(t, r.run(t.Context(), "", p, nil))
	if got := exitCode(t, r.run(t.Context(), "", r.process(io.Discard, "no-such-command"), nil)); got != 127 {
		t.Errorf("a command that does not exist: exit code %d", got)
	}
	must(t, os.WriteFile(filepath.Join(r.root, "plain"), nil, 0o644))
	if got := exitCode(t, r.run(t.Context(), "", r.process(io.Discard, "/plain"), nil)); got != 126 {
		t.Errorf("a command that may not run: exit code %d", got)
	}
}

func TestStreams(t *testing.T) {
	r := newRoom(t)
	var out, err bytes.Buffer
	p := r.process(&out, "sh", "-c", "cat; echo to err >&2")
	p.Stdin, p.Stderr = io.NopCloser(strings.NewReader("by stdin")), closer{&err}
	must(t, r.run(t.Context(), "", p, nil))
	if out.String() != "by stdin" || err.String() != "to err\n" {
		t.Errorf("stdout %q, stderr %q", out.String(), err.String())
	}
}

// A step that says more than is read at once, and that reads before anything is
// there, waits: its streams are no different from those of a shell.
func TestStreamsWait(t *testing.T) {
	r := newRoom(t)
	var err bytes.Buffer
	out := &slow{}
	p := r.process(out, "sh", "-c", "echo ready; cat; head -c 3000000 /dev/zero")
	in, feed := io.Pipe()
	out.first = func() { _, _ = io.WriteString(feed, "late"); feed.Close() }
	p.Stdin, p.Stderr = in, closer{&err}
	must(t, r.run(t.Context(), "", p, nil))
	if want := len("ready\nlate") + 3_000_000; out.n != want || err.Len() > 0 {
		t.Errorf("%d bytes of output, want %d; stderr %q", out.n, want, err.String())
	}
}

// slow takes its time with each write, so that a pipe runs full.
type slow struct {
	n     int
	first func()
}

func (s *slow) Write(b []byte) (int, error) {
	if s.n == 0 {
		time.Sleep(50 * time.Millisecond) // the step is in its read by then
		s.first()
	}
	time.Sleep(5 * time.Millisecond)
	s.n += len(b)
	return len(b), nil
}

func (*slow) Close() error { return nil }

func TestASecondProcessInAStep(t *testing.T) {
	r := newRoom(t)
	started, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		ended <- r.run(ctx, "first", r.process(io.Discard, "sh", "-c", "echo here > /tmp/mark; sleep 600"), started)
	}()
	<-started
	var out bytes.Buffer
	must(t, r.Exec(t.Context(), "first", r.process(&out, "sh", "-c", "until [ -s /tmp/mark ]; do sleep 0.01; done; cat /tmp/mark; ps | grep -c 'sleep 600'")))
	if !strings.HasPrefix(out.String(), "here\n") {
		t.Errorf("the second process saw %q", out.String())
	}
	if got := exitCode(t, r.Exec(t.Context(), "first", r.process(io.Discard, "sh", "-c", "exit 9"))); got != 9 {
		t.Errorf("exit code %d", got)
	}
	p := r.process(io.Discard, "id")
	p.Meta.SecurityMode = pb.SecurityMode_INSECURE
	if err := r.Exec(t.Context(), "first", p); !errs.Is(err, errs.Denied) {
		t.Errorf("a privileged second process: %v", err)
	}
	if err := r.run(t.Context(), "first", r.process(io.Discard, "true"), nil); !errs.Is(err, errs.Conflict) {
		t.Errorf("a second container of one id: %v", err)
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled step: %v", err)
		}
	case <-time.After(5 * time.Minute):
		t.Fatal("a cancelled step does not end")
	}
	if err := r.Exec(t.Context(), "first", r.process(io.Discard, "true")); !errs.Is(err, errs.NotFound) {
		t.Errorf("a process in a step that is over: %v", err)
	}
}

func TestNoPrivilegedStep(t *testing.T) {
	r := newRoom(t)
	p := r.process(io.Discard, "true")
	p.Meta.SecurityMode = pb.SecurityMode_INSECURE
	if err := r.run(t.Context(), "", p, nil); !errs.Is(err, errs.Denied) {
		t.Errorf("a privileged step: %v", err)
	}
	for _, id := range []string{"../x", "a/b", "a b"} {
		if err := r.run(t.Context(), id, r.process(io.Discard, "true"), nil); err == nil {
			t.Errorf("id %q is taken", id)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	r := newRoom(t)
	p := r.process(io.Discard, "sh", "-c", "x=x; while :; do x=$x$x; done")
	p.Meta.LinuxResources = &pb.LinuxResources{Memory: 16 << 20, MemorySwap: 16 << 20}
	err := r.run(t.Context(), "", p, nil)
	exitCode(t, err)
	if !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("the error of a step out of memory is %v", err)
	}
}

func TestUlimits(t *testing.T) {
	r := newRoom(t)
	var out bytes.Buffer
	p := r.process(&out, "sh", "-c", "ulimit -n")
	p.Meta.Ulimit = []*pb.Ulimit{{Name: "nofile", Soft: 77, Hard: 78}}
	must(t, r.run(t.Context(), "", p, nil))
	if strings.TrimSpace(out.String()) != "77" {
		t.Errorf("ulimit -n is %q", out.String())
	}
}

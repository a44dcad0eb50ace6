package runtime_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/mount"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
)

// sleeper starts a container that lasts as long as the test.
func (b *bench) sleeper(change ...func(*runtime.Container)) *runtime.Container {
	b.t.Helper()
	c := b.container("sleep", "1000")
	for _, f := range change {
		f(c)
	}
	if err := b.start(c); err != nil {
		b.t.Fatal(err)
	}
	return c
}

func TestExecIsInsideWithTheSameLimits(t *testing.T) {
	b := newBench(t)
	c := b.sleeper(func(c *runtime.Container) { c.Spec.Hostname = "box" })
	for _, x := range []struct{ line, want string }{
		{"hostname", "box"},
		{"cat /proc/1/comm", "sleep"},
		{"cut -d: -f3 /proc/self/cgroup | sort -u", "/"},
		{"grep CapEff /proc/self/status | cut -f2", "00000000a80425fb"},
		{"grep ^Seccomp: /proc/self/status | cut -f2", "2"},
		{"ls /proc/self/fd | wc -l", "4"},
		{"cut -d' ' -f5 /proc/self/stat > /x; echo $?", "0"},
	} {
		out, code := b.exec(c, x.line)
		if strings.TrimSpace(out) != x.want || code != 0 {
			t.Errorf("%s: %q (code %d), want %q", x.line, out, code, x.want)
		}
	}
	if _, code := b.exec(c, "exit 9"); code != 9 {
		t.Errorf("code %d, want 9", code)
	}
}

func TestExecOfWhatIsNotThere(t *testing.T) {
	b := newBench(t)
	c := b.sleeper()
	proc := runtime.Default().Process
	proc.Args = []string{"nonsense"}
	k := task.Key{Container: c.ID, Exec: ids.New()}
	if _, err := b.rt.Exec(context.Background(), c.ID, k.Exec, &runtime.Exec{Process: proc, Streams: task.Streams{Kind: task.StreamLog}}); err != nil {
		t.Fatal(err)
	}
	if err := b.rt.Start(context.Background(), k); !errs.Is(err, errs.CommandNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := b.rt.Exec(context.Background(), ids.New(), "x", &runtime.Exec{Process: proc}); !errs.Is(err, errs.NotFound) {
		t.Errorf("exec in no container: %v", err)
	}
}

func TestExecAfterTheEnd(t *testing.T) {
	b := newBench(t)
	c := b.sleeper()
	if err := b.rt.Signal(context.Background(), task.Key{Container: c.ID}, 9); err != nil {
		t.Fatal(err)
	}
	b.parent.output(task.Key{Container: c.ID})
	proc := runtime.Default().Process
	proc.Args = []string{"true"}
	if _, err := b.rt.Exec(context.Background(), c.ID, "x", &runtime.Exec{Process: proc}); !errs.Is(err, errs.NotFound) {
		t.Errorf("got %v, want that it does not run", err)
	}
}

// A daemon that comes back knows nothing but what the keeper and the kernel do.
func TestADaemonThatComesBack(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	volume := t.TempDir()
	file(t, filepath.Join(volume, "mark"), "kept")
	c := b.sleeper(mountOf("bind", volume, "/volume", "rbind"), func(c *runtime.Container) { c.Record = []byte("mine") })
	if err := b.rt.Close(); err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.New(b.parent)
	if err != nil {
		t.Fatal(err)
	}
	b.rt = rt
	if _, err := rt.Create(ctx, c); !errs.Is(err, errs.Conflict) {
		t.Fatalf("creating what an earlier daemon created: %v", err)
	}
	list, err := rt.List(ctx)
	if err != nil || len(list) != 1 || string(list[0].Record) != "mine" {
		t.Fatalf("list: %+v %v", list, err)
	}
	if out, code := b.exec(c, "grep ^Seccomp: /proc/self/status | cut -f2; cat /volume/mark"); out != "2\nkept" || code != 0 {
		t.Errorf("exec: %q %d", out, code)
	}
	root, err := rt.Rootfs(ctx, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := mount.Open(root, "/volume/mark", os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if pids, err := rt.Pids(ctx, c.ID); err != nil || len(pids) != 1 {
		t.Errorf("pids %v %v", pids, err)
	}
	if err := rt.Delete(ctx, c.ID); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + c.Cgroup); len(left) != 0 {
		t.Errorf("cgroups left: %v", left)
	}
}

func TestRootfsShowsVolumesWhileItRuns(t *testing.T) {
	b := newBench(t)
	volume := t.TempDir()
	file(t, filepath.Join(volume, "mark"), "kept")
	c := b.sleeper(mountOf("bind", volume, "/volume", "rbind"))
	root, err := b.rt.Rootfs(context.Background(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := mount.Open(root, "/volume/mark", os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if entries, err := root.ReadDir(-1); err != nil || len(entries) < 10 {
		t.Errorf("the root has %d entries, %v", len(entries), err)
	}
}

func TestPauseAndUpdateAndStats(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	c := b.container("sh", "-c", "while :; do echo x; sleep 0.01; done")
	if err := b.start(c); err != nil {
		t.Fatal(err)
	}
	if err := b.rt.Pause(ctx, c.ID); err != nil {
		t.Fatal(err)
	}
	proc := runtime.Default().Process
	proc.Args = []string{"true"}
	if _, err := b.rt.Exec(ctx, c.ID, "x", &runtime.Exec{Process: proc}); !errs.Is(err, errs.Conflict) {
		t.Errorf("exec into a paused container: %v", err)
	}
	if err := b.rt.Resume(ctx, c.ID); err != nil {
		t.Fatal(err)
	}
	s, err := b.rt.Stats(ctx, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if s.Pids < 1 || s.MemoryUsage == 0 || s.CPUTotal == 0 || s.MemoryLimit < 1<<20 {
		t.Errorf("stats look empty: %+v", s)
	}
	if err := b.rt.SignalAll(ctx, c.ID, int(unix.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	if _, code := b.parent.output(task.Key{Container: c.ID}); code != 137 {
		t.Errorf("code %d", code)
	}
}

// By its number alone, the process of a container that has ended could be any.
func TestANamespaceIsOfTheContainerOrNone(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	c := b.sleeper()
	ns, err := b.rt.Namespace(ctx, c.ID, "net")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	joined := b.container("sh", "-c", "readlink /proc/self/ns/net")
	for i, n := range joined.Spec.Linux.Namespaces {
		if n.Type == "network" {
			joined.Spec.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/self/fd/%d", ns.Fd())
		}
	}
	inside, _ := b.exec(c, "readlink /proc/self/ns/net")
	if out, _ := b.run(joined); out != inside || out == "" {
		t.Errorf("joined %q, the container has %q", out, inside)
	}
	if err := b.rt.Signal(ctx, task.Key{Container: c.ID}, 9); err != nil {
		t.Fatal(err)
	}
	b.parent.output(task.Key{Container: c.ID})
	if _, err := b.rt.Namespace(ctx, c.ID, "net"); !errs.Is(err, errs.NotFound) {
		t.Errorf("of a container that has ended: %v", err)
	}
	if _, err := b.rt.Namespace(ctx, ids.New(), "net"); !errs.Is(err, errs.NotFound) {
		t.Errorf("of none: %v", err)
	}
}

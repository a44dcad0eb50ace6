package runtime_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"lus/internal/base/ids"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
	"lus/test/need"
)

// bench is a runtime with a place for containers.
type bench struct {
	t      testing.TB
	parent *parent
	rt     *runtime.Native
	lower  string
	cgroup string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	need.Root(t)
	b := &bench{t: t, parent: newParent(t), lower: need.BusyboxRootfs(t), cgroup: "lus-test-" + ids.New()[:8]}
	rt, err := runtime.New(b.parent)
	if err != nil {
		t.Fatal(err)
	}
	b.rt = rt
	t.Cleanup(func() {
		if err := b.rt.Close(b.cgroup); err != nil {
			t.Error(err)
		}
	})
	return b
}

// container returns one whose process runs the words, to be changed before create.
func (b *bench) container(words ...string) *runtime.Container {
	b.t.Helper()
	dir := b.t.TempDir()
	for _, d := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
	spec := runtime.Default()
	spec.Process.Args = words
	id := ids.New()
	return &runtime.Container{
		ID: id, Generation: 1, Spec: spec,
		Rootfs:  runtime.Rootfs{Lower: []string{b.lower}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")},
		Cgroup:  b.cgroup + "/" + id,
		Streams: task.Streams{Kind: task.StreamLog},
	}
}

// start creates and starts it; it is deleted at the end of the test.
func (b *bench) start(c *runtime.Container) error {
	b.t.Helper()
	p, err := b.rt.Create(context.Background(), c)
	if err != nil {
		return err
	}
	if p.NetNS != nil {
		_ = p.NetNS.Close()
	}
	b.t.Cleanup(func() {
		if err := b.rt.Delete(context.Background(), c.ID); err != nil {
			b.t.Errorf("delete: %v", err)
		}
	})
	return b.rt.Start(context.Background(), task.Key{Container: c.ID})
}

// run runs it to its end.
func (b *bench) run(c *runtime.Container) (string, int) {
	b.t.Helper()
	if err := b.start(c); err != nil {
		b.t.Fatalf("start %q: %v", c.Spec.Process.Args, err)
	}
	return b.parent.output(task.Key{Container: c.ID})
}

// sh runs a line of the shell to its end and returns what it wrote.
func (b *bench) sh(line string, change ...func(*runtime.Container)) string {
	b.t.Helper()
	c := b.container("sh", "-c", line)
	for _, f := range change {
		f(c)
	}
	out, code := b.run(c)
	if code != 0 {
		b.t.Errorf("%q ended with %d: %s", line, code, out)
	}
	return strings.TrimSpace(out)
}

// exec runs a line in a running container to its end.
func (b *bench) exec(c *runtime.Container, line string) (string, int) {
	b.t.Helper()
	proc := runtime.Default().Process
	proc.Args = []string{"sh", "-c", line}
	return b.execProcess(c, proc, task.Streams{Kind: task.StreamLog})
}

func (b *bench) execProcess(c *runtime.Container, proc *specs.Process, s task.Streams) (string, int) {
	b.t.Helper()
	k := task.Key{Container: c.ID, Exec: ids.New()}
	if _, err := b.rt.Exec(context.Background(), c.ID, k.Exec, &runtime.Exec{Process: proc, Generation: 1, Streams: s}); err != nil {
		b.t.Fatal(err)
	}
	if err := b.rt.Start(context.Background(), k); err != nil {
		b.t.Fatal(err)
	}
	return b.parent.output(k)
}

func startTime(t testing.TB, pid int) uint64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var n uint64
	if _, err := fmt.Sscan(fields[19], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

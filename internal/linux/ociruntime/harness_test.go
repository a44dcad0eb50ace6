package ociruntime_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lus/internal/base/ids"
	"lus/internal/base/layout"
	"lus/internal/keeper/client"
	"lus/internal/keeper/program"
	initproc "lus/internal/linux/init"
	"lus/internal/linux/ociruntime"
	"lus/internal/linux/runtime"
	"lus/internal/model/task"
	"lus/test/need"
)

// TestMain lets the test's own binary be lus-keeper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "--") {
		os.Exit(program.Main(os.Args[1:], os.Stderr))
	}
	os.Exit(m.Run())
}

// house is a keeper with all runtimes, and a place for containers.
type house struct {
	*ociruntime.Runtimes
	t      *testing.T
	keeper *client.Client
	where  layout.Layout
	root   string
	cgroup string
	exits  chan task.Status
}

// long is how long something may take on a slow machine that has much else to do.
const long = 5 * time.Minute

// newHouse is a house that is empty again when the test ends.
func newHouse(t *testing.T) *house {
	t.Helper()
	need.Root(t)
	if f, err := initproc.Open(); err != nil {
		need.Unmet(t, "the init: run internal/linux/init/build.sh")
	} else {
		f.Close()
	}
	root, err := os.MkdirTemp("", "lus-o-") // short: a socket's path ends at 107 bytes
	must(t, err)
	h := &house{t: t, where: layout.Resolve(filepath.Join(root, "state"), filepath.Join(root, "run")), root: root, exits: make(chan task.Status, 100)}
	h.cgroup = "lus-test-" + h.where.Instance()
	self, err := os.Executable()
	must(t, err)
	h.keeper, err = client.Ensure(t.Context(), h.where, self)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_ = h.keeper.Watch(ctx, func(s task.Status) { h.exits <- s }) // ends with ctx
	}()
	h.open()
	t.Cleanup(func() {
		h.clean()
		must(t, h.Close(h.cgroup))
		if err := h.keeper.Quit(context.Background()); err != nil {
			t.Errorf("the keeper still has something: %v", err)
		}
		stop()
		<-watched
		must(t, h.keeper.Close())
		// runc makes its groups in hierarchies, too, that ours leaves alone.
		left, _ := filepath.Glob("/sys/fs/cgroup/*/" + h.cgroup)
		for _, dir := range left {
			_ = os.Remove(dir)
		}
		must(t, os.RemoveAll(root))
	})
	return h
}

// open makes the runtimes, also those of the next daemon.
func (h *house) open() {
	h.t.Helper()
	native, err := runtime.New(h.keeper)
	must(h.t, err)
	h.Runtimes, err = ociruntime.New(context.Background(), native, h.keeper, h.where.OCI(), slog.New(slog.DiscardHandler))
	must(h.t, err)
}

// clean deletes all containers and looks for what they left.
func (h *house) clean() {
	h.t.Helper()
	list, err := h.keeper.List(context.Background())
	must(h.t, err)
	for _, s := range list {
		if s.Exec == "" {
			must(h.t, h.Delete(context.Background(), s.Container))
		} else if s.Phase == task.Ended {
			must(h.t, h.Ack(context.Background(), s.Key, s.Generation))
		}
	}
	h.empty()
}

// empty checks that no container has anything on the disk or in a cgroup.
func (h *house) empty() {
	h.t.Helper()
	for _, pattern := range []string{filepath.Join(h.where.OCI(), "*", "*", "*"), "/sys/fs/cgroup/" + h.cgroup + "/*/", "/sys/fs/cgroup/*/" + h.cgroup + "/*/"} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			h.t.Errorf("left behind: %q, %v", left, err)
		}
	}
}

// container is one by runc that runs the words, to be changed before create.
func (h *house) container(words ...string) *runtime.Container {
	h.t.Helper()
	dir := h.t.TempDir()
	for _, d := range []string{"upper", "work"} {
		must(h.t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	spec := runtime.Default()
	spec.Process.Args = words
	id := ids.New()
	return &runtime.Container{
		ID: id, Generation: 1, Spec: spec, Runtime: "runc",
		Rootfs:  runtime.Rootfs{Lower: []string{need.BusyboxRootfs(h.t)}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")},
		Cgroup:  h.cgroup + "/" + id,
		Streams: task.Streams{Kind: task.StreamNull},
	}
}

// create creates it and returns its pid.
func (h *house) create(c *runtime.Container) int {
	h.t.Helper()
	p, err := h.Create(context.Background(), c)
	must(h.t, err)
	if p.NetNS != nil {
		_ = p.NetNS.Close()
	}
	return p.Pid
}

// sleeper is a container that runs.
func (h *house) sleeper() (c *runtime.Container, pid int) {
	h.t.Helper()
	c = h.container("sleep", "1000")
	pid = h.create(c)
	must(h.t, h.Start(context.Background(), task.Key{Container: c.ID}))
	return c, pid
}

// end waits for the end of a process.
func (h *house) end(k task.Key) task.Status {
	h.t.Helper()
	for deadline := time.After(long); ; {
		select {
		case s := <-h.exits:
			if s.Key == k {
				return s
			}
		case <-deadline:
			h.t.Fatalf("waited %s for the end of %v", long, k)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

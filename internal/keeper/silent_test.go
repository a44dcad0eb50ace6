package keeper_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/model/task"
	"lus/test/need"
)

// silent is a file system that answers nothing at all, as that of a server that
// stands still. Letting go of it, which may be done twice, fails who waits.
func silent(t *testing.T) (dir string, letGo func()) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		need.Unmet(t, "FUSE: %v", err)
	}
	letGo = sync.OnceFunc(func() { _ = unix.Close(fd) })
	dir = t.TempDir()
	if err := unix.Mount("silent", dir, "fuse", unix.MS_NODEV|unix.MS_NOSUID, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		letGo()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		letGo()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, letGo
}

// TestAFolderThatDoesNotAnswerStopsOnlyWhoLogsThere: a start waits for it, and
// everything else is as ever.
func TestAFolderThatDoesNotAnswerStopsOnlyWhoLogsThere(t *testing.T) {
	need.Root(t)
	dir, letGo := silent(t)
	b := start(t)
	t.Cleanup(letGo) // before the keeper ends
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	waits := b.logged("waits")
	waits.Streams.Log.Path, waits.Streams.Log.Device = filepath.Join(dir, "waits"), 1 // which answered when it was looked at
	program := script(t, "exit 0", nil)
	failed := make(chan error, 1)
	other := b.connect()
	go func() {
		_, err := other.Create(context.WithoutCancel(ctx), waits, program)
		failed <- err
	}()
	for began := false; !began; {
		all, err := b.List(ctx)
		if err != nil {
			t.Fatalf("the keeper does not answer: %v", err)
		}
		for _, s := range all {
			began = began || s.Key == waits.Key && s.Phase == task.Waiting
		}
	}
	b.run(b.logged("ends"), "echo said; exit 3")
	if exit := b.end(key("ends")); exit.Code != 3 {
		t.Errorf("%+v", exit)
	}
	if out, _, _ := b.output("ends"); out != "said\n" {
		t.Errorf("it said %q", out)
	}
	select {
	case err := <-failed:
		t.Errorf("the start did not wait for its log: %v", err)
	default:
	}
	letGo()
	if err := <-failed; err == nil {
		t.Error("a start without a log")
	}
}

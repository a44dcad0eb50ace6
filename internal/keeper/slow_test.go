package keeper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/task"
	"lus/test/need"
)

// The ioctls that stop a file system from changing, and let it go on.
const (
	freeze = 0xC0045877
	thaw   = 0xC0045878
)

// standstill is a file system of its own that can be frozen: whoever writes to
// it then waits in the kernel, as on a disk that does not answer.
type standstill struct {
	t   *testing.T
	dir string
}

func newStandstill(t *testing.T) *standstill {
	t.Helper()
	mkfs := need.Program(t, "mkfs.ext4", "e2fsprogs")
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		need.Unmet(t, "loop devices: %v: %s", err, out)
	}
	s := &standstill{t, dir}
	t.Cleanup(func() {
		_ = s.order(thaw) // fails where it goes on already
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return s
}

func (s *standstill) order(what uintptr) error {
	f, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), what, 0); errno != 0 {
		return errno
	}
	return nil
}

func (s *standstill) must(what uintptr) {
	s.t.Helper()
	if err := s.order(what); err != nil {
		s.t.Fatalf("freeze or thaw: %v", err)
	}
}

func (b *bench) typed(k task.Key, text string) {
	b.t.Helper()
	in, err := b.Stdin(b.t.Context(), k)
	if err != nil {
		b.t.Fatal(err)
	}
	defer in.Close()
	if _, err := fmt.Fprint(in, text); err != nil {
		b.t.Fatal(err)
	}
}

// TestADiskThatStandsStillStopsOnlyWhoWritesThere: on a frozen file system one
// process waits, one that would rather lose output goes on, and everything else
// is as ever. Once it goes on, nothing is missing that was not counted.
func TestADiskThatStandsStillStopsOnlyWhoWritesThere(t *testing.T) {
	disk := newStandstill(t)
	b := start(t)
	through := filepath.Join(b.where.Run, "through")
	writer := func(name, dir string, drop bool) *task.Create {
		c := b.logged(name)
		c.Streams.Log.Path, c.Streams.Log.Drop, c.Streams.Stdin = filepath.Join(dir, name), drop, true
		b.run(c, "echo first; read go; i=0; while [ $i -lt 400000 ]; do echo $i; i=$((i+1)); done; echo >"+through+"-"+name+"; read go; echo last; exit 7")
		eventually(t, func() bool { out, _, _ := b.logOf(c.Streams.Log.Path); return out == "first\n" })
		return c
	}
	waits, drops := writer("waits", disk.dir, false), writer("drops", disk.dir, true)
	ends := b.logged("ends")
	ends.Streams.Log.Path, ends.Streams.Stdin = filepath.Join(disk.dir, "ends"), true
	b.run(ends, "read go; echo said; exit 5")

	quits := b.logged("quits")
	quits.Streams.Log.Path, quits.Streams.Log.Drop, quits.Streams.Stdin = filepath.Join(disk.dir, "quits"), true, true
	b.run(quits, "read go; i=0; while [ $i -lt 400000 ]; do echo $i; i=$((i+1)); done; exit 6")

	disk.must(freeze)
	for _, c := range []*task.Create{waits, drops, quits} {
		b.typed(c.Key, "go\n")
	}
	eventually(t, func() bool { _, err := os.Stat(through + "-drops"); return err == nil })

	// Others start, write, end and are known, all at once.
	for i := range 5 {
		name := fmt.Sprintf("other%d", i)
		b.run(b.logged(name), numbered(3_000, ""))
		if exit := b.end(key(name)); exit.Code != 17 {
			t.Errorf("%s: %+v", name, exit)
		}
		out, _, _ := b.output(name)
		checkNumbered(t, out, 3_000)
	}
	// A start that needs the disk waits for it, and nobody waits for that start.
	late := b.logged("late")
	late.Streams.Log.Path = filepath.Join(disk.dir, "late")
	f, asker, created := script(t, "echo late; exit 4", nil), b.connect(), make(chan error, 1)
	go func() {
		_, err := asker.Create(context.Background(), late, f)
		created <- err
	}()
	// An end is told although its last words are not written yet.
	b.typed(ends.Key, "go\n")
	if exit := b.end(ends.Key); exit.Code != 5 {
		t.Errorf("the one that ended: %+v", exit)
	}
	if exit := b.end(quits.Key); exit.Code != 6 {
		t.Errorf("the one that quit: %+v", exit)
	}
	for _, k := range []task.Key{ends.Key, quits.Key} {
		if err := b.Ack(t.Context(), k, 0); err != nil {
			t.Error(err)
		}
	}
	// The program cannot be replaced in the middle of a write, and says so.
	if err := b.Upgrade(t.Context(), b.self, b.self, "--run", b.where.Run, "--root", b.where.Root); !errs.Is(err, errs.Unavailable) {
		t.Errorf("an upgrade meanwhile: %v", err)
	}
	if _, err := os.Stat(through + "-waits"); err == nil {
		t.Error("the one that waits did not wait")
	}
	select {
	case err := <-created:
		t.Errorf("a log was opened on a disk that stands still: %v", err)
	default:
	}

	disk.must(thaw)
	if err := <-created; err != nil {
		t.Error(err)
	}
	if _, err := b.Go(t.Context(), late.Key); err != nil {
		t.Error(err)
	}
	for _, c := range []*task.Create{waits, drops} {
		eventually(t, func() bool { _, err := os.Stat(through + "-" + c.Container); return err == nil })
		b.typed(c.Key, "go\n")
		if exit := b.end(c.Key); exit.Code != 7 {
			t.Errorf("%s: %+v", c.Container, exit)
		}
		out, _, notices := b.logOf(c.Streams.Log.Path)
		if !strings.HasPrefix(out, "first\n0\n") || !strings.HasSuffix(out, "last\n") {
			t.Errorf("%s: %d bytes, from %.20q to %q", c.Container, len(out), out, out[max(0, len(out)-20):])
		}
		if whole := strings.Count(out, "\n") == 400_002; whole == c.Streams.Log.Drop {
			t.Errorf("%s: %d lines", c.Container, strings.Count(out, "\n"))
		}
		if strings.Contains(notices, "dropped") != c.Streams.Log.Drop {
			t.Errorf("%s: notices %q", c.Container, notices)
		}
	}
	eventually(t, func() bool { out, _, _ := b.logOf(ends.Streams.Log.Path); return out == "said\n" })
	eventually(t, func() bool {
		_, _, notices := b.logOf(quits.Streams.Log.Path)
		return strings.Contains(notices, "dropped")
	})
	b.end(late.Key)
}

// TestAnEndIsToldOnceItsOutputIsThere, also where others' output fills the
// queue of the disk, so that its own still is in its pipe, and where the disk
// takes seconds for one write.
func TestAnEndIsToldOnceItsOutputIsThere(t *testing.T) {
	disk := newStandstill(t)
	b := start(t)
	file := filepath.Join(b.where.Run, "much")
	if err := os.WriteFile(file, bytes.Repeat([]byte("much of it\n"), 300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	waiting := func(name, text string) (*task.Create, int) {
		c := b.logged(name)
		c.Streams.Log.Path, c.Streams.Stdin = filepath.Join(disk.dir, name), true
		return c, b.run(c, "read go; "+text).Pid
	}
	fills, pid := waiting("fills", "cat "+file+"; exit 3")
	ends, ended := waiting("ends", numbered(5_000, ""))

	disk.must(freeze)
	b.typed(fills.Key, "go\n")
	full := 0
	eventually(t, func() bool {
		if full++; !pipeIsFull(t, pid) {
			full = 0
		}
		return full > 20 // nobody empties it
	})
	type end struct {
		exit task.Exit
		out  string
	}
	told := make(chan end, 1)
	go func() {
		exit := b.end(ends.Key)
		out, _, _ := b.logOf(ends.Streams.Log.Path)
		told <- end{exit, out}
	}()
	b.typed(ends.Key, "go\n")
	eventually(t, func() bool { return errors.Is(unix.Kill(ended, 0), unix.ESRCH) })
	time.Sleep(2 * time.Second) // which a write on a busy disk may take

	disk.must(thaw)
	got := <-told
	if got.exit.Code != 17 {
		t.Errorf("it ended with %+v", got.exit)
	}
	checkNumbered(t, got.out, 5_000)
	if exit := b.end(fills.Key); exit.Code != 3 {
		t.Errorf("the one that fills the disk ended with %+v", exit)
	}
}

// pipeIsFull reports whether nothing more goes into a process's output.
func pipeIsFull(t *testing.T, pid int) bool {
	t.Helper()
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/1", pid), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := unix.FcntlInt(f.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	unread, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return unread > size-unix.Getpagesize()
}

// TestALogThatCannotBeOpenedFailsTheStart and leaves nothing to acknowledge.
func TestALogThatCannotBeOpenedFailsTheStart(t *testing.T) {
	b := start(t)
	for name, path := range map[string]string{"folder": b.where.Run, "missing": filepath.Join(b.where.Run, "no/such/log")} {
		c := b.logged(name)
		c.Streams.Log.Path = path
		if s, err := b.Create(t.Context(), c, script(t, "exit 0", nil)); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
		eventually(t, func() bool { list, err := b.List(t.Context()); return err == nil && len(list) == 0 })
	}
}

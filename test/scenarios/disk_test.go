package scenarios

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/layout"
	"lus/test/need"
	"lus/test/stack"
)

// disk is a small file system that a stack has its root on.
type disk struct {
	dir string
	t   *testing.T
}

// onSmallDisk is a stack whose root is on a file system of 64 MB.
func onSmallDisk(t *testing.T) (*stack.Stack, *disk) {
	t.Helper()
	need.Root(t)
	dir, err := os.MkdirTemp("", "lus-disk-")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m,mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(dir, unix.MNT_DETACH), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
	s := stack.Idle(t)
	s.Layout = layout.Resolve(filepath.Join(dir, "root"), s.Run)
	s.StartDaemon(t)
	s.ImportBusybox(t)
	return s, &disk{dir, t}
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill leaves so many bytes free.
func (d *disk) fill(free int64) {
	d.t.Helper()
	f, err := os.Create(d.ballast())
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for { // others write meanwhile
		more := room(d.t, d.dir) - free
		if more <= 0 {
			return
		}
		err := unix.Fallocate(int(f.Fd()), 0, 0, more)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EINTR) {
			d.t.Fatal(err)
		}
	}
}

func (d *disk) empty() {
	d.t.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		d.t.Fatal(err)
	}
}

// TestAFullDiskIsToldAndTheNextTryWorks: what brings an image says that the disk
// is full and what to do, leaves nothing half made, and works once there is room.
func TestAFullDiskIsToldAndTheNextTryWorks(t *testing.T) {
	t.Parallel()
	s, d := onSmallDisk(t)
	s.OK(t, "run", "-d", "--name", "bystander", stack.Busybox, "sleep", "1000")
	s.Build(t, "warm", map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nRUN true\n"}).Want(t, 0)
	s.OK(t, "rmi", "warm")

	const size = 12 << 20
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, []byte(strings.Repeat("\x00\x01\x02\x03", size/4)), 0o644); err != nil {
		t.Fatal(err)
	}
	tar := filepath.Join(t.TempDir(), "big.tar")
	s.Do(nil, "tar", "-cf", tar, "-C", filepath.Dir(big), "big").Want(t, 0)
	ref := stack.Registry(t) + "/team/big"
	noise := make([]byte, size)
	for i, x := 0, uint32(1); i < size; i++ { // does not compress
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	stack.PushFile(t, ref, "data", noise)
	copies := stack.Folder(t, map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nCOPY big /big\n"})
	if err := os.Link(big, filepath.Join(copies, "big")); err != nil {
		t.Fatal(err)
	}
	runs := stack.Folder(t, map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nRUN dd if=/dev/zero of=/big bs=1M count=12\n"})
	for _, c := range []struct {
		what, image string
		args        []string
	}{
		{"import", "imported", []string{"import", tar, "imported"}},
		{"pull", ref, []string{"pull", ref}},
		{"build that copies", "copied", []string{"build", "-t", "copied", copies}},
		{"build that writes", "written", []string{"build", "-t", "written", runs}},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := &disk{d.dir, t}
			d.fill(4 << 20)
			before := s.Still()
			r := s.Lus(c.args...)
			if r.Code == 0 {
				t.Fatalf("12 MB fitted into 4:\n%s", r.All())
			}
			stack.Says(t, r.All(), "full", "remove images or containers")
			if strings.Count(r.All(), "remove images or containers") > 1 {
				t.Errorf("the advice is given more than once:\n%s", r.All())
			}
			if c.args[0] == "build" { // an empty folder may stay for the next build
				s.Unchanged(t, before, stack.Files)
			} else {
				s.Unchanged(t, before)
			}
			// At once: those who run beside it write to the same disk.
			if got := room(t, d.dir); got <= 3<<20 {
				t.Errorf("%d bytes are free where 4 MB were", got)
			}
			if got := s.OK(t, "exec", "bystander", "echo", "here"); got != "here" {
				t.Errorf("the container that runs says %q", got)
			}
			d.empty()
			s.OK(t, c.args...)
			s.OK(t, "image", "inspect", c.image)
			s.OK(t, "rmi", c.image)
		})
	}
	t.Run("not a byte is free", func(t *testing.T) {
		d := &disk{d.dir, t}
		d.fill(0)
		defer d.empty()
		stack.Says(t, s.Fail(t, 1, "import", tar, "imported"), "full", "remove images or containers")
	})
}

// The same for what makes an image of what is here, or sends it elsewhere.
func TestAFullDiskKeepsNothingOfWhatGoesOut(t *testing.T) {
	t.Parallel()
	s, d := onSmallDisk(t)
	ref, file, out := stack.Registry(t)+"/team/big", filepath.Join(t.TempDir(), "big.tar"), filepath.Join(t.TempDir(), "out.tar")
	context := stack.Folder(t, map[string]string{"Dockerfile": "FROM " + stack.Busybox + "\nCOPY noise /noise\n", "noise": noise(t, 12<<20)})
	s.OK(t, "build", "-t", ref, context)
	s.OK(t, "save", "-o", file, ref)
	s.OK(t, "rmi", ref)
	s.OK(t, "builder", "prune", "-a", "-f")
	for _, c := range []struct {
		what, before string
		args         []string
	}{
		{"load", "", []string{"load", "-i", file}},
		{"commit", "run --name big " + stack.Busybox + " dd if=/dev/urandom of=/big bs=1M count=12", []string{"commit", "big", ref}},
		{"push", "build -t " + ref + " " + context, []string{"push", ref}},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := &disk{d.dir, t}
			if c.before != "" {
				s.OK(t, strings.Fields(c.before)...)
			}
			d.fill(4 << 20)
			before := s.Still()
			r := s.Lus(c.args...)
			if r.Code == 0 {
				t.Fatalf("12 MB fitted into 4:\n%s", r.All())
			}
			stack.Says(t, r.All(), "full", "remove images or containers")
			s.Unchanged(t, before)
			stack.Eventually(t, "the space", func() bool { return room(t, d.dir) > 3<<20 })
			d.empty()
			s.OK(t, c.args...)
			s.Lus("rm", "-f", "big")
			s.OK(t, "rmi", ref)
			s.OK(t, "builder", "prune", "-a", "-f")
		})
	}
	// What is saved needs no room of the store.
	s.OK(t, "build", "-t", ref, context)
	d.fill(1 << 20)
	s.OK(t, "save", "-o", out, ref)
	if saved, err := os.Stat(out); err != nil || saved.Size() < 12<<20 {
		t.Errorf("saved are %v, %v", saved, err)
	}
}

// TestAtTheLastByte: with no room at all a start is refused and says why, what
// runs can be stopped and removed, and that makes room.
func TestAtTheLastByte(t *testing.T) {
	t.Parallel()
	s, d := onSmallDisk(t)
	s.OK(t, "run", "-d", "--name", "hog", stack.Busybox, "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=8 2>/dev/null; echo filled; exec sleep 1000")
	stack.Eventually(t, "the file", func() bool { return s.OK(t, "logs", "hog") == "filled" })
	s.OK(t, "run", "-d", "--name", "ends", stack.Busybox, "sh", "-c", "while ! test -e /dev/shm/go; do usleep 10000; done; exit 9")
	s.OK(t, "create", "--name", "prepared", stack.Busybox, "sleep", "1000")
	d.fill(0)
	stack.Says(t, s.Fail(t, 1, "start", "prepared"), "full")
	r := s.Lus("run", "-d", "--name", "one-more", stack.Busybox, "sleep", "1000")
	if r.Code != 125 {
		t.Fatalf("exit code %d: %s", r.Code, r.All())
	}
	stack.Says(t, r.Err, "full")
	// The room may be enough for its record: then it is one that never ran.
	if left := s.OK(t, "ps", "-a", "--filter", "name=one-more", "--format", "{{.Status}}"); left != "" && left != "Created" {
		t.Errorf("it left one that is %s", left)
	}
	s.Lus("rm", "one-more")
	s.OK(t, "rm", "prepared")
	s.OK(t, "exec", "ends", "touch", "/dev/shm/go")
	if got := s.OK(t, "wait", "ends"); got != "9" {
		t.Errorf("it ended with %s", got)
	}
	s.OK(t, "rm", "-f", "hog")
	stack.Eventually(t, "its 8 MB", func() bool { return room(t, d.dir) >= 8<<20 })
	s.OK(t, "run", "--rm", stack.Busybox, "true")
	s.Kill()
	s.StartDaemon(t)
	if got := s.OK(t, "ps", "-a", "--format", "{{.Names}} {{.Status}}"); !strings.HasPrefix(got, "ends Exited (9)") || strings.Contains(got, "\n") {
		t.Errorf("after a restart there is %q", got)
	}
	d.empty()
}

// room is how many bytes are free.
func room(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bfree) * st.Bsize
}

// TestAFullDiskCanBeEmptiedByTheFrontDoor: the daemon starts on a disk without
// room, after a kill and after a stop, and removing an image makes some.
func TestAFullDiskCanBeEmptiedByTheFrontDoor(t *testing.T) {
	t.Parallel()
	s, d := onSmallDisk(t)
	s.OK(t, "run", "-d", "--name", "runs", stack.Busybox, "sleep", "1000")
	s.OK(t, "create", "--name", "made", stack.Busybox, "true")
	big := stack.Folder(t, map[string]string{"big": strings.Repeat("full", 1<<20)})
	tar := filepath.Join(t.TempDir(), "big.tar")
	s.Do(nil, "tar", "-cf", tar, "-C", big, "big").Want(t, 0)
	s.OK(t, "import", tar, "first")
	s.OK(t, "import", tar, "second")
	for i, end := range []func(){s.Kill, func() { s.Stop() }} {
		d.fill(0)
		end()
		s.StartDaemon(t)
		stack.Says(t, s.OK(t, "ps"), "runs")
		s.OK(t, "rmi", []string{"first", "second"}[i])
		stack.Eventually(t, "its 4 MB", func() bool { return room(t, d.dir) >= 3<<20 })
		s.OK(t, "run", "--rm", stack.Busybox, "true")
		d.empty()
	}
	d.fill(0)
	s.OK(t, "stop", "-t", "0", "runs")
	s.OK(t, "rm", "runs", "made")
	d.empty()
}

// TestAFullDiskUnderALog: by default a container waits for room and nothing is
// lost; with mode=non-blocking it goes on and the log tells how much it lacks.
func TestAFullDiskUnderALog(t *testing.T) {
	t.Parallel()
	s, d := onSmallDisk(t)
	// They begin together: what a slow machine needs for the second start is time
	// in which the first would fill the disk.
	const script = "until test -e /begin/go; do sleep 0.05; done; i=0; while ! test -e /dev/shm/end; do i=$((i+1)); echo line $i; echo $i >/dev/shm/n; done; echo last"
	begin := t.TempDir()
	s.OK(t, "run", "-d", "--name", "waits", "-v", begin+":/begin", stack.Busybox, "sh", "-c", script)
	s.OK(t, "run", "-d", "--name", "drops", "-v", begin+":/begin", "--log-opt", "mode=non-blocking", stack.Busybox, "sh", "-c", script)
	number := func(name string) int {
		n, _ := strconv.Atoi(strings.TrimSpace(s.Lus("exec", name, "cat", "/dev/shm/n").Out))
		return n
	}
	put(t, filepath.Join(begin, "go"), "")
	stack.Eventually(t, "lines of both", func() bool { return number("waits") > 0 && number("drops") > 0 })
	d.fill(0)
	stack.Eventually(t, "the one that drops to go on", func() bool {
		return number("drops") > lastLine(s, "drops")+20_000
	})
	stack.Eventually(t, "the one that waits to wait", func() bool {
		log, _ := os.ReadFile(filepath.Join(s.Run, "keeper.log"))
		return strings.Contains(string(log), "its process waits")
	})
	d.empty()
	for _, name := range []string{"waits", "drops"} {
		s.OK(t, "exec", name, "touch", "/dev/shm/end")
		s.OK(t, "wait", name)
	}
	lines := strings.Split(s.OK(t, "logs", "waits"), "\n")
	for i, line := range lines {
		if want := "line " + strconv.Itoa(i+1); line != want && (i < len(lines)-1 || line != "last") {
			t.Fatalf("line %d of %d is %q", i+1, len(lines), line)
		}
	}
	if got := s.OK(t, "logs", "--tail", "1", "drops"); got != "last" {
		t.Errorf("the log of the one that drops ends with %q", got)
	}
}

// lastLine is the number of the last line in a container's log.
func lastLine(s *stack.Stack, name string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(s.Lus("logs", "--tail", "1", name).Out), "line "))
	return n
}

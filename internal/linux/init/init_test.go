package initproc_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	initproc "lus/internal/linux/init"
	"lus/test/need"
)

// world keeps a wrong program from touching the host.
const world = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// run forks the init with a program, says go, and returns what it sent and how
// it ended.
func run(t *testing.T, init int, program []byte, files ...*os.File) (messages []string, ws syscall.WaitStatus) {
	t.Helper()
	fd, err := unix.MemfdCreate("program", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, program); err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fds := []uintptr{null.Fd(), null.Fd(), null.Fd(), uintptr(fd), uintptr(pair[1])}
	for _, f := range files {
		fds = append(fds, f.Fd())
	}
	pid, err := syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", init), []string{"lus-init"}, &syscall.ProcAttr{
		Files: fds, Sys: &syscall.SysProcAttr{Cloneflags: world},
	})
	_ = unix.Close(pair[1])
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Send(pair[0], []byte("G"), unix.MSG_NOSIGNAL)
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(pair[0], buf)
		if errors.Is(err, unix.ECONNRESET) {
			continue // told once, of the word that it did not take
		}
		if n <= 0 || err != nil {
			break
		}
		messages = append(messages, string(buf[:n]))
	}
	if _, err := syscall.Wait4(pid, &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	return messages, ws
}

func open(t *testing.T) int {
	t.Helper()
	need.Root(t)
	f, err := initproc.Open()
	if err != nil {
		need.Unmet(t, "the init: %v", err)
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 700)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func bytesOf(t *testing.T, p *initproc.Program) []byte {
	t.Helper()
	f, err := p.Memfd()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func valid(words ...string) *initproc.Program {
	var p initproc.Program
	p.OOMScore("0")
	p.Ready()
	p.Private()
	p.Hostname("x")
	p.Loopback()
	p.Wait()
	p.Rlimit(unix.RLIMIT_NOFILE, 100, 100)
	p.Exec(&initproc.Last{Cwd: "/", Name: words[0], Args: words, Env: []string{"PATH=/usr/bin:/bin", "A=b"}, Groups: []uint32{1, 2}})
	return &p
}

func TestAProgramRuns(t *testing.T) {
	messages, ws := run(t, open(t), bytesOf(t, valid("sh", "-c", "exit 7")))
	if len(messages) != 1 || messages[0] != "R" || ws.ExitStatus() != 7 {
		t.Errorf("messages %q, ended with %v", messages, ws.ExitStatus())
	}
}

func TestAFailedStepIsNamed(t *testing.T) {
	init := open(t)
	for _, c := range []struct {
		name  string
		p     func() *initproc.Program
		errno unix.Errno
		step  string
		code  int
	}{
		{"a command that is not there", func() *initproc.Program { return valid("no-such-command") }, unix.ENOENT, "exec no-such-command", 127},
		{"a folder", func() *initproc.Program { return valid("/etc") }, unix.EISDIR, "exec /etc", 126},
		{"not executable", func() *initproc.Program { return valid("/etc/passwd") }, unix.EACCES, "exec /etc/passwd", 126},
		{"a descriptor that is none", func() *initproc.Program {
			var p initproc.Program
			null, err := os.Open("/dev/null")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = null.Close() })
			p.Setns(null, 0)
			return &p
		}, unix.EBADF, "enter the namespaces", 125},
		{"no end", func() *initproc.Program { var p initproc.Program; p.Ready(); return &p }, unix.EBADMSG, "read the program", 125},
	} {
		messages, ws := run(t, init, bytesOf(t, c.p()))
		last := ""
		if len(messages) > 0 {
			last = messages[len(messages)-1]
		}
		if len(last) < 5 || last[0] != 'E' || unix.Errno(binary.LittleEndian.Uint32([]byte(last[1:5]))) != c.errno || last[5:] != c.step || ws.ExitStatus() != c.code {
			t.Errorf("%s: messages %q, ended with %d; want %v in %q and %d", c.name, messages, ws.ExitStatus(), c.errno, c.step, c.code)
		}
	}
}

// Whatever bytes come, the init ends in order: it never runs wild.
func TestHostilePrograms(t *testing.T) {
	init := open(t)
	good := bytesOf(t, valid("true"))
	random := rand.New(rand.NewPCG(1, 2))
	check := func(name string, program []byte) {
		_, ws := run(t, init, program)
		if ws.Signaled() {
			t.Errorf("%s: ended by %v: %x", name, ws.Signal(), program)
		}
	}
	for n := range len(good) {
		if n%8 == 0 {
			check(fmt.Sprintf("cut at %d", n), good[:n])
		}
	}
	for i := range 400 {
		bad := bytes.Clone(good)
		for range 1 + random.IntN(3) {
			at := 8 + random.IntN(len(bad)-8)
			if random.IntN(2) == 0 {
				bad[at] = byte(random.IntN(256))
			} else {
				binary.LittleEndian.PutUint32(bad[at&^3:], []uint32{0, 1, 1<<32 - 1, 1 << 31, 1 << 20, uint32(len(bad))}[random.IntN(6)])
			}
		}
		check(fmt.Sprintf("change %d", i), bad)
	}
}

func TestTheInitIsSealed(t *testing.T) {
	f, err := initproc.Open()
	if err != nil {
		need.Unmet(t, "the init: %v", err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("the init could be written to")
	}
	if err := f.Truncate(0); err == nil {
		t.Error("the init could be cut")
	}
	if st, err := f.Stat(); err != nil || st.Size() == 0 || st.Size() > 64<<10 {
		t.Errorf("the init has %v bytes, %v", st.Size(), err)
	}
}

func TestLongErrorsAreCut(t *testing.T) {
	name := "/" + strings.Repeat("x", 3000)
	messages, _ := run(t, open(t), bytesOf(t, valid(name)))
	if last := messages[len(messages)-1]; last[0] != 'E' || len(last) > 1024 {
		t.Errorf("%d bytes: %.40q", len(last), last)
	}
}

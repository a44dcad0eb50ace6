package initproc_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	initproc "lus/internal/linux/init"
)

// A program that runs another runtime: its command runs in its folder, the
// process that it names is told, and the init ends well.
func TestAnotherRuntimeIsRun(t *testing.T) {
	init, dir := open(t), t.TempDir()
	var p initproc.Program
	p.Private()
	p.Run(time.Minute, dir, []string{"/bin/sh", "-c", "echo 4321 >pid; echo $A >seen"}, []string{"A=b", "PATH=/bin"})
	p.Adopt(filepath.Join(dir, "pid"))
	p.Ready()
	p.Wait()
	p.Done()
	messages, ws := run(t, init, bytesOf(t, &p))
	named := string(binary.LittleEndian.AppendUint32([]byte{'P'}, 4321))
	if !slices.Equal(messages, []string{named, "R"}) || ws.ExitStatus() != 0 {
		t.Errorf("messages %q, ended with %d", messages, ws.ExitStatus())
	}
	if seen, err := os.ReadFile(filepath.Join(dir, "seen")); err != nil || string(seen) != "b\n" {
		t.Errorf("it saw %q, %v", seen, err)
	}
}

func TestAnotherRuntimeThatFailsIsNamed(t *testing.T) {
	init := open(t)
	for _, words := range [][]string{{"/bin/sh", "-c", "exit 3"}, {"/bin/sh", "-c", "kill -9 $$"}, {"/no/such/runtime"}} {
		var p initproc.Program
		p.Run(time.Minute, "/", words, nil)
		p.Ready()
		p.Done()
		messages, ws := run(t, init, bytesOf(t, &p))
		want := string(binary.LittleEndian.AppendUint32([]byte{'E'}, uint32(unix.EIO))) + "run " + words[0]
		if !slices.Equal(messages, []string{want}) {
			t.Errorf("%q: messages %q, ended with %v", words, messages, ws)
		}
	}
}

// Nothing but a number above one names a process.
func TestWhatNamesNoProcess(t *testing.T) {
	init := open(t)
	for _, text := range []string{"", "1", "0", "-5", "x", " 77", "\x00"} {
		file := filepath.Join(t.TempDir(), "pid")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var p initproc.Program
		p.Adopt(file)
		p.Ready()
		p.Done()
		if messages, _ := run(t, init, bytesOf(t, &p)); len(messages) != 1 || !strings.HasPrefix(messages[0], "E") {
			t.Errorf("%q: messages %q", text, messages)
		}
	}
}

// One that hangs is killed, and that is what is told.
func TestAnotherRuntimeThatHangsIsKilled(t *testing.T) {
	init := open(t)
	var p initproc.Program
	p.Run(time.Second, "/", []string{"/bin/sh", "-c", "sleep 1000"}, []string{"PATH=/bin:/usr/bin"})
	p.Done()
	messages, ws := run(t, init, bytesOf(t, &p))
	want := string(binary.LittleEndian.AppendUint32([]byte{'E'}, uint32(unix.ETIMEDOUT))) + "run /bin/sh"
	if !slices.Equal(messages, []string{want}) || ws.ExitStatus() != 125 {
		t.Errorf("messages %q, ended with %d", messages, ws.ExitStatus())
	}
}

// As a file of its own the init starts a command, ends as it ended, and says
// what is wrong with one that cannot be started.
func TestTheInitStandsAlone(t *testing.T) {
	code, err := initproc.Binary()
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(file, code, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		words []string
		out   string
		code  int
	}{
		{[]string{"sh", "-c", "echo $A; exit 7"}, "b\n", 7},
		{[]string{"sh", "-c", "kill -9 $$"}, "", 137},
		{[]string{"/no/such"}, "exec /no/such\n", 127},
		{[]string{"/etc/passwd"}, "exec /etc/passwd\n", 126},
	} {
		cmd := exec.Command(file, append([]string{"--"}, x.words...)...)
		cmd.Env = []string{"A=b", "PATH=/bin:/usr/bin"}
		out, _ := cmd.CombinedOutput()
		if string(out) != x.out || cmd.ProcessState.ExitCode() != x.code {
			t.Errorf("%q: (%d) %q, want (%d) %q", x.words, cmd.ProcessState.ExitCode(), out, x.code, x.out)
		}
	}
}

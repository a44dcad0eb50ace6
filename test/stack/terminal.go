package stack

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a program that runs on a terminal of its own, as under a
// person's hands.
type Terminal struct {
	t      testing.TB
	line   string
	master *os.File
	cmd    *exec.Cmd
	ended  chan struct{}

	mu   sync.Mutex
	seen bytes.Buffer
}

// Terminal starts lus on a new terminal of 24 lines by 80 columns.
func (s *Stack) Terminal(t testing.TB, args ...string) *Terminal {
	t.Helper()
	return s.TerminalOf(t, filepath.Join(s.Bin, "lus"), args...)
}

// TerminalOf starts a program on a new terminal. What it leaves unread there when
// it ends is lost: the kernel hangs up a session whose leader is gone.
func (s *Stack) TerminalOf(t testing.TB, program string, args ...string) *Terminal {
	t.Helper()
	master, slave := openTerminal(t)
	defer slave.Close()
	cmd := exec.Command(program, args...)
	cmd.Env = append(s.Env(), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term := &Terminal{t: t, line: filepath.Base(program) + " " + strings.Join(args, " "), master: master, cmd: cmd, ended: make(chan struct{})}
	go term.read() // ends when the master is closed, by Cleanup at the latest
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
		_ = master.Close()
		<-term.ended
	})
	return term
}

func openTerminal(t testing.TB) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	if cerr := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
		if err == nil {
			err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
		}
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func (term *Terminal) read() {
	defer close(term.ended)
	buf := make([]byte, 4096)
	for {
		n, err := term.master.Read(buf)
		term.mu.Lock()
		term.seen.Write(buf[:n])
		term.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Screen is all that was written so far.
func (term *Terminal) Screen() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.seen.String()
}

// Type sends keys.
func (term *Terminal) Type(keys string) {
	term.t.Helper()
	if _, err := term.master.WriteString(keys); err != nil {
		term.t.Fatalf("%s: %v\n%s", term.line, err, term.Screen())
	}
}

// Sees waits until text is on the screen.
func (term *Terminal) Sees(text string) {
	term.t.Helper()
	for deadline := time.Now().Add(long); !strings.Contains(term.Screen(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			term.t.Fatalf("%s: %q never came; the screen:\n%s", term.line, text, term.Screen())
		}
	}
}

// Asks types a line until its answer is on the screen: what is typed right after
// Ctrl-C may be dropped with what was typed before it.
func (term *Terminal) Asks(line, answer string) {
	term.t.Helper()
	for deadline := time.Now().Add(long); time.Now().Before(deadline); {
		term.Type(line + "\n")
		for again := time.Now().Add(5 * time.Second); time.Now().Before(again); time.Sleep(5 * time.Millisecond) {
			if strings.Contains(term.Screen(), answer) {
				return
			}
		}
	}
	term.t.Fatalf("%s: %q was never answered with %q; the screen:\n%s", term.line, line, answer, term.Screen())
}

// Resize makes the window another size, as dragging its corner does.
func (term *Terminal) Resize(rows, cols uint16) {
	term.t.Helper()
	raw, err := term.master.SyscallConn()
	if err != nil {
		term.t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	}); cerr != nil || err != nil {
		term.t.Fatal(cerr, err)
	}
}

// Signal sends the program a signal.
func (term *Terminal) Signal(s syscall.Signal) {
	term.t.Helper()
	if err := term.cmd.Process.Signal(s); err != nil {
		term.t.Fatalf("%s: %v", term.line, err)
	}
}

// Echoes reports whether what is typed is shown, as where a person reads lines;
// not so in raw mode, or while a password is typed.
func (term *Terminal) Echoes() bool {
	term.t.Helper()
	raw, err := term.master.SyscallConn()
	if err != nil {
		term.t.Fatal(err)
	}
	var settings *unix.Termios
	if cerr := raw.Control(func(fd uintptr) { settings, err = unix.IoctlGetTermios(int(fd), unix.TCGETS) }); cerr != nil || err != nil {
		term.t.Fatal(cerr, err)
	}
	return settings.Lflag&unix.ECHO != 0
}

// Ends waits for the program's end and returns its exit code.
func (term *Terminal) Ends() int {
	term.t.Helper()
	done := make(chan int, 1)
	go func() {
		_ = term.cmd.Wait()
		done <- term.cmd.ProcessState.ExitCode()
	}()
	select {
	case code := <-done:
		return code
	case <-time.After(long):
		_ = term.cmd.Process.Kill()
		<-done
		term.t.Fatalf("%s did not end; the screen:\n%s", term.line, term.Screen())
		return -1
	}
}

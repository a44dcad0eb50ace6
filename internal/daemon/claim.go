package daemon

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/layout"
)

// claim makes the folders and takes the root: one daemon owns it. Closing the
// file gives it up, and so does the death of the process.
func claim(l layout.Layout) (*os.File, error) {
	// Nobody but root goes below: a setuid program of an image would be one of
	// the host for whoever can reach it. Containers see what is theirs by mounts.
	// Root and run may be folders of the user's choice, so only our own below
	// them are closed where an earlier version left them open.
	for _, d := range []struct {
		path string
		mode os.FileMode
		ours bool
	}{{l.Root, 0o710, false}, {l.Run, 0o711, false}, {l.Containers(), 0o710, true}, {l.Volumes(), 0o710, true}} {
		err := os.MkdirAll(d.path, d.mode)
		if err == nil && d.ours {
			err = os.Chmod(d.path, d.mode)
		}
		if err != nil {
			return nil, fmt.Errorf("making the folder %s: %w", d.path, err)
		}
	}
	f, err := os.OpenFile(l.LockFile(), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if holder, err := lock(f); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("the root %s is in use by another lusd (pid %s): stop that one, or give this one a folder of its own with --root", l.Root, holder)
		}
		return nil, fmt.Errorf("locking %s: %w", l.LockFile(), err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// lingers is how long a lock is waited for whose holder is dead.
const lingers = 10 * time.Second

// lock takes the lock, or tells who holds it. A daemon that was killed while it
// forked leaves the lock to its child for the moment until that executes a
// program, so the lock of a dead holder is waited for.
func lock(f *os.File) (holder string, err error) {
	for deadline := time.Now().Add(lingers); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return "", err
		}
		text, _ := io.ReadAll(io.NewSectionReader(f, 0, 32))
		holder = strings.TrimSpace(string(text))
		pid, perr := strconv.Atoi(holder)
		dead := perr == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
		if !dead || time.Now().After(deadline) {
			return holder, err
		}
	}
}

// listen returns the socket that the service manager passed, or one of our own.
func listen(l layout.Layout) (net.Listener, error) {
	if ln, err := inherited(); ln != nil || err != nil {
		return ln, err
	}
	path := l.Socket()
	if len(path) > 107 {
		return nil, fmt.Errorf("the socket's path %s is longer than the 107 bytes a unix socket may have: give a shorter --run or --socket", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, err
	}
	// The root is ours, so a socket that nobody answers is of a daemon that died.
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("the socket %s is in use by another daemon: give this one another --run or --socket", path)
	}
	_ = os.Remove(path)
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
}

// LetGo closes what the process was started with beside its three streams and the
// socket of a service manager: a shell's lock or pipe is not to stay held for as
// long as the daemon lives, whom a command may have started in passing. It is
// called before anything else; what Go itself has open closes at an exec.
func LetGo() {
	first := 3
	if activated() {
		first++
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // then nothing can be run here either
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < first {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}

func activated() bool {
	return os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) && os.Getenv("LISTEN_FDS") == "1"
}

// inherited is socket activation: with LISTEN_FDS the first descriptor is 3.
func inherited() (net.Listener, error) {
	if !activated() {
		return nil, nil
	}
	_ = os.Unsetenv("LISTEN_PID")
	_ = os.Unsetenv("LISTEN_FDS")
	unix.CloseOnExec(3)
	f := os.NewFile(3, "socket")
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("the socket that the service manager passed: %w", err)
	}
	return ln, nil
}

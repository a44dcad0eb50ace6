package client

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
)

const (
	// startPatience is how long a daemon may take until its socket answers. It
	// reconciles what it finds first, so a long list of containers takes longer.
	startPatience = 60 * time.Second
	// racePatience is how long the daemon of somebody who started one at the
	// same moment may take.
	racePatience = 5 * time.Second
	safePath     = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// starter starts the daemon of this host where none answers.
type starter struct {
	layout layout.Layout
	stderr io.Writer
}

func (s *starter) start() error {
	if os.Geteuid() != 0 {
		return errs.New(errs.Denied, "no daemon answers at %s, and starting one needs root: run lus with sudo", s.layout.Socket())
	}
	program, err := daemonProgram()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.layout.Run, 0o711); err != nil {
		return errs.New(errs.Unavailable, "no daemon answers, and none can be started: %w", err)
	}
	logPath := filepath.Join(s.layout.Run, "lusd.log")
	p, err := s.spawn(program, logPath)
	if err != nil {
		return errs.New(errs.Unavailable, "no daemon answers, and %s cannot be started: %w", program, err)
	}
	if err := s.await(p, logPath); err != nil {
		return err
	}
	return nil
}

// daemonProgram is the lusd beside this program, else the one in PATH.
func daemonProgram() (string, error) {
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		if p := filepath.Join(filepath.Dir(self), "lusd"); executable(p) {
			return p, nil
		}
	}
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		if p := filepath.Join(dir, "lusd"); filepath.IsAbs(p) && executable(p) {
			return p, nil
		}
	}
	return "", errs.New(errs.NotFound, "no daemon answers, and there is no lusd beside lus or in PATH: build it with make, or set LUS_HOST to a daemon that runs")
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// spawn starts the daemon in a session of its own, with nothing of this user's:
// no environment, folder, mask or cgroup that ends with a login.
func (s *starter) spawn(program, logPath string) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	mask := syscall.Umask(0o022)
	defer syscall.Umask(mask)
	p, err := os.StartProcess(program, []string{program, "--root", s.layout.Root, "--run", s.layout.Run}, &os.ProcAttr{
		Dir: "/", Env: []string{"PATH=" + safePath},
		Files: []*os.File{null, log, log},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, err
	}
	// Out of the login's scope, which systemd may end at logout; where a tree
	// is not there or not ours, the daemon stays where it is.
	for _, tree := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"} {
		if f, err := os.OpenFile(filepath.Join(tree, "cgroup.procs"), os.O_WRONLY, 0); err == nil {
			fmt.Fprintf(f, "%d", p.Pid)
			_ = f.Close()
		}
	}
	return p, nil
}

// await returns once the socket answers.
func (s *starter) await(p *os.Process, logPath string) error {
	ended := make(chan struct{})
	go func() { // ends with the daemon or with this program
		_, _ = p.Wait()
		close(ended)
	}()
	deadline := time.Now().Add(startPatience)
	ours, pause := true, time.Millisecond
	for {
		if s.answers(deadline) {
			if ours {
				fmt.Fprintf(s.stderr, "lus: started the daemon, lusd (root %s); stop it with: lus system stop\n", s.layout.Root)
			}
			return nil
		}
		select {
		case <-ended:
			if ours {
				// Perhaps another lus was first: then its daemon's socket comes.
				ours, ended = false, nil
				deadline = time.Now().Add(racePatience)
				if !inUse(logPath) {
					deadline = time.Now()
				}
			}
		case <-time.After(pause):
			pause = min(pause*2, 20*time.Millisecond)
		}
		if time.Now().After(deadline) {
			return errs.New(errs.Unavailable, "lusd was started and does not answer. Its last words in %s:\n%s", logPath, lastLines(logPath, 5))
		}
	}
}

// answers reports whether a daemon answers: one that is about to fail has its
// socket already.
func (s *starter) answers(deadline time.Time) bool {
	c, err := net.Dial("unix", s.layout.Socket())
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(deadline)
	if _, err := io.WriteString(c, "GET /_ping HTTP/1.0\r\nHost: lus\r\n\r\n"); err != nil {
		return false
	}
	var first [1]byte
	_, err = io.ReadFull(c, first[:])
	return err == nil
}

// inUse reports whether the daemon ended because another has the root.
func inUse(logPath string) bool { return strings.Contains(lastLines(logPath, 3), "in use") }

// lastLines is the end of a file.
func lastLines(path string, n int) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const window = 8 << 10
	if info, err := f.Stat(); err == nil && info.Size() > window {
		_, _ = f.Seek(-window, io.SeekEnd)
	}
	data, _ := io.ReadAll(io.LimitReader(f, window))
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Package stack runs a whole Lus for a test: a daemon of its own under a root
// and a run folder of its own, the programs of bin/ against it, images to work
// with, and a look at the machine before and after.
package stack

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lus/internal/base/layout"
	"lus/test/need"
)

// Stack is one instance of Lus: its folders, its programs and its daemon.
type Stack struct {
	layout.Layout
	Bin  string // the folder of lus, lusd and the others
	Repo string // the root of the repository

	dir    string // holds root and run
	mu     sync.Mutex
	daemon *exec.Cmd
	ended  chan struct{}
}

// New makes the folders of an instance and finds the programs; the daemon is
// not started. Remove takes all of it away again.
func New() (*Stack, error) {
	repo, err := repository()
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(repo, "bin")
	if _, err := os.Stat(filepath.Join(bin, "lusd")); err != nil {
		return nil, fmt.Errorf("there is no bin/lusd: run make build first")
	}
	// Short: a unix socket's path ends at 107 bytes.
	dir, err := os.MkdirTemp("", "lus-")
	if err != nil {
		return nil, err
	}
	s := &Stack{Layout: layout.Resolve(filepath.Join(dir, "root"), filepath.Join(dir, "run")), Bin: bin, Repo: repo, dir: dir}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return s, nil
}

// Start is a running stack with busybox in it that ends with the test.
func Start(t testing.TB) *Stack {
	t.Helper()
	s := Idle(t)
	s.StartDaemon(t)
	s.ImportBusybox(t)
	return s
}

// Idle is a stack whose daemon does not run yet; it ends with the test.
func Idle(t testing.TB) *Stack {
	t.Helper()
	need.Root(t)
	s, err := New()
	if err != nil {
		need.Unmet(t, "the programs: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemon's last lines:\n%s", s.DaemonLog(40))
		}
		if left := s.Remove(); left != "" {
			t.Errorf("the stack left behind:\n%s", left)
		}
	})
	return s
}

func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("not inside the repository")
}

// Env is the environment that leads programs to this stack and no other. With
// LUS_HOST a program uses that daemon or fails: none is started for it.
func (s *Stack) Env() []string {
	return append(s.Bare(), "LUS_HOST=unix://"+s.Socket())
}

// Bare is Env for a person who only has a root: lus starts a daemon there.
func (s *Stack) Bare() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LUS_") && !strings.HasPrefix(kv, "DOCKER_") && !strings.HasPrefix(kv, "COMPOSE_") {
			env = append(env, kv)
		}
	}
	return append(env,
		"PATH="+s.Bin+":"+os.Getenv("PATH"),
		"LUS_ROOT="+s.Root, "LUS_RUN="+s.Run,
		"DOCKER_HOST=unix://"+s.Socket(), "DOCKER_CONFIG="+filepath.Join(s.dir, "docker"))
}

// logFile is where the daemon's own words go.
func (s *Stack) logFile() string { return filepath.Join(s.dir, "lusd.log") }

// DaemonLog is the end of what the daemon said.
func (s *Stack) DaemonLog(lines int) string {
	data, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// StartDaemon starts lusd and returns once it answers.
func (s *Stack) StartDaemon(t testing.TB) {
	t.Helper()
	if err := s.Up(); err != nil {
		t.Fatalf("%v\n%s", err, s.DaemonLog(20))
	}
}

// Up starts lusd and returns once its socket answers.
func (s *Stack) Up() error {
	return s.up(exec.Command(filepath.Join(s.Bin, "lusd"), "--root", s.Root, "--run", s.Run))
}

// UpWith starts lusd with a socket that is already open, as systemd does.
func (s *Stack) UpWith(socket *os.File) error {
	// The variable must name the process that becomes the daemon.
	cmd := exec.Command("sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"`,
		filepath.Join(s.Bin, "lusd"), "--root", s.Root, "--run", s.Run)
	cmd.ExtraFiles = []*os.File{socket}
	return s.up(cmd)
}

// UpClosed starts lusd as a shell does whose new files are for their owner alone.
func (s *Stack) UpClosed() error {
	return s.up(exec.Command("sh", "-c", `umask 077 && exec "$0" "$@"`, filepath.Join(s.Bin, "lusd"), "--root", s.Root, "--run", s.Run))
}

func (s *Stack) up(cmd *exec.Cmd) error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Env, cmd.Stdout, cmd.Stderr = s.Env(), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { // owned by the stack: Kill, Stop and Remove wait for it
		_ = cmd.Wait()
		close(ended)
	}()
	s.mu.Lock()
	s.daemon, s.ended = cmd, ended
	s.mu.Unlock()
	return s.awaitSocket(ended)
}

func (s *Stack) awaitSocket(ended chan struct{}) error {
	for deadline := time.Now().Add(long); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if c, err := net.Dial("unix", s.Socket()); err == nil {
			return c.Close()
		}
		select {
		case <-ended:
			return fmt.Errorf("lusd ended before it answered")
		default:
		}
	}
	return fmt.Errorf("lusd did not open %s within %s", s.Socket(), long)
}

// DaemonPid is the process id of the daemon this stack started.
func (s *Stack) DaemonPid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.daemon == nil {
		return 0
	}
	return s.daemon.Process.Pid
}

// Daemons are the process ids of all daemons of this stack, whoever started them.
func (s *Stack) Daemons() (pids []int) {
	for _, p := range s.processes() {
		if p.program == "lusd" {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// Kill ends the daemon with SIGKILL and returns once it is gone.
func (s *Stack) Kill() { s.signal(syscall.SIGKILL) }

// Stop ends the daemon with SIGTERM and returns its exit code.
func (s *Stack) Stop() int {
	cmd := s.signal(syscall.SIGTERM)
	if cmd == nil {
		return -1
	}
	return cmd.ProcessState.ExitCode()
}

func (s *Stack) signal(sig syscall.Signal) *exec.Cmd {
	s.mu.Lock()
	cmd, ended := s.daemon, s.ended
	s.daemon = nil
	s.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(sig) // it may have ended: then ended is closed
	select {
	case <-ended:
	case <-time.After(long):
		_ = cmd.Process.Kill()
		<-ended
	}
	return cmd
}

// Helper is the process id of a program of this stack, as lus-keeper; 0 where
// it does not run.
func (s *Stack) Helper(program string) int {
	for _, p := range s.processes() {
		if p.program == program {
			return p.pid
		}
	}
	return 0
}

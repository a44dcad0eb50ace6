package ociruntime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	initproc "lus/internal/linux/init"
	"lus/internal/linux/mount"
	"lus/internal/linux/runtime"
)

const (
	bundles = "bundles"
	states  = "state"
	// removal bounds how long a runtime may take to forget a container.
	removal = 30 * time.Second
	// patience is how long a runtime may take to create, start or exec.
	patience = 2 * time.Minute
	// firstFile is the init as a file, and firstInside where a container asked
	// for one (--init) sees it: in /dev, which is no part of the image.
	firstFile   = "init"
	firstInside = "/dev/init"
)

// bundle is what a runtime needs on the disk for one container, and the program
// for the init that runs it.
type bundle struct {
	name     string // the runtime's
	program  string // its path; empty: not looked up yet
	first    string // the file of the init for --init
	patience time.Duration
	id       string
	dir      string
	state    string // of all containers of this runtime
	init     initproc.Program
	open     []*os.File // until the keeper has them
}

func (r *Runtimes) bundle(name, id string) *bundle {
	return &bundle{name: name, id: id, dir: filepath.Join(r.dir, name, bundles, id), state: filepath.Join(r.dir, name, states), first: filepath.Join(r.dir, firstFile), patience: r.Patience}
}

func (b *bundle) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bundle) close() {
	for _, f := range b.open {
		_ = f.Close()
	}
}

func (b *bundle) keep(f *os.File, err error) (*os.File, error) {
	if f != nil {
		b.open = append(b.open, f)
	}
	return f, err
}

// make makes the folder anew; nobody but root sees what is in it.
func (b *bundle) make(ctx context.Context) error {
	if err := b.remove(ctx); err != nil {
		return err
	}
	for _, dir := range []string{b.state, b.path("rootfs"), b.path("mounts")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (b *bundle) write(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(b.path(name), data, 0o600)
}

// attach shows a detached mount to the runtime, at a path that is returned.
func (b *bundle) attach(f *os.File) (string, error) {
	dir, err := mount.IsDir(f)
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, "mounts", strconv.Itoa(len(b.open)))
	if dir {
		err = os.Mkdir(path, 0o700)
	} else {
		err = os.WriteFile(path, nil, 0o600)
	}
	if err == nil {
		b.init.Attach(f, path)
	}
	return path, err
}

// run has the init run the runtime's command, which logs for the container or
// one of its execs.
func (b *bundle) run(execID string, words ...string) {
	args := append([]string{b.program, "--root", b.state, "--log", b.path(logOf(execID)), "--log-format", "json"}, words...)
	b.init.Run(b.patience, b.dir, append(args, b.id), []string{"PATH=" + runtime.DefaultPath})
}

// listen makes the socket to which the runtime sends a terminal. It is named
// relative to its folder: the kernel takes 107 bytes only.
func (b *bundle) listen(name string) (*os.File, error) {
	dir, err := os.Open(b.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make the terminal's socket: %w", err)
	}
	f, _ := b.keep(os.NewFile(uintptr(fd), name), nil)
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)}); err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		return nil, fmt.Errorf("make the terminal's socket: %w", err)
	}
	return f, nil
}

// The files of an exec bear its id.
func logOf(execID string) string     { return execID + ".log" }
func pidOf(execID string) string     { return execID + ".pid" }
func consoleOf(execID string) string { return execID + ".tty" }
func processOf(execID string) string { return execID + ".json" }

// forget removes the files of an exec.
func (b *bundle) forget(execID string) {
	for _, name := range []string{logOf(execID), pidOf(execID), consoleOf(execID), processOf(execID)} {
		_ = os.Remove(b.path(name))
	}
}

// remove has the runtime forget the container, and removes the folder. The
// process has ended, but for one that was never named.
func (b *bundle) remove(ctx context.Context) error {
	state := filepath.Join(b.state, b.id)
	if _, err := os.Lstat(state); !errors.Is(err, fs.ErrNotExist) {
		if err := b.delete(ctx); err != nil {
			return err
		}
	}
	return errors.Join(os.RemoveAll(state), os.RemoveAll(b.dir))
}

func (b *bundle) delete(ctx context.Context) error {
	program, err := find(b.name)
	if err != nil {
		return nil // it was taken from the host: its files are all there is to remove
	}
	ctx, cancel := context.WithTimeout(ctx, removal)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--root", b.state, "delete", "--force", b.id)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + runtime.DefaultPath}
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return errs.New(errs.Internal, "%s does not delete container %s: %s", b.name, b.id, strings.TrimSpace(string(out)+" "+err.Error()))
	}
	return nil
}

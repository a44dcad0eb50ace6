package main

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

// apart is a set of namespaces. A process that waits for the end of its input
// holds them, so that they go with the bench, whatever becomes of that.
type apart struct {
	pid   int
	hold  *exec.Cmd
	input io.Closer
}

// newNetwork is another host as far as networks go.
func newNetwork() (*apart, error) {
	return newApart(syscall.CLONE_NEWNET, "")
}

// newHost is another host also for processes, mounts and what is under /run:
// all that a program starts and leaves there ends with it. Orphans vanish as they
// end, as they do under an init.
func newHost() (*apart, error) {
	return newApart(syscall.CLONE_NEWNET|syscall.CLONE_NEWNS|syscall.CLONE_NEWPID,
		"mount --make-rprivate /; mount -t proc proc /proc; mount -t tmpfs tmpfs /run; trap '' CHLD;")
}

func newApart(namespaces uintptr, script string) (*apart, error) {
	hold := exec.Command("sh", "-ec", "ip link set lo up; "+script+" echo; exec cat >/dev/null")
	hold.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	input, err := hold.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := hold.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := hold.Start(); err != nil {
		return nil, fmt.Errorf("new namespaces: %w", err)
	}
	a := &apart{pid: hold.Process.Pid, hold: hold, input: input}
	if _, err := bufio.NewReader(output).ReadByte(); err != nil {
		a.close()
		return nil, fmt.Errorf("new namespaces: %w", err)
	}
	return a, nil
}

// inside is a command line that runs in a network namespace.
func (a *apart) inside(line ...string) []string {
	return append([]string{"nsenter", "-t", strconv.Itoa(a.pid), "-n"}, line...)
}

func (a *apart) close() {
	_ = a.input.Close()
	_ = a.hold.Wait()
}

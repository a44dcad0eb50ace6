package runtime

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	initproc "lus/internal/linux/init"
	"lus/internal/model/task"
)

// execNamespaces are all that an exec enters; entering the one it is already
// in, as with the host's network, changes nothing.
const execNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Exec implements Runtime.
func (n *Native) Exec(ctx context.Context, id, execID string, e *Exec) (*Process, error) {
	if execID == "" {
		return nil, errs.New(errs.Invalid, "an exec needs an id")
	}
	if err := checkProcess(e.Process); err != nil {
		return nil, err
	}
	c, err := n.find(ctx, id)
	if err != nil {
		return nil, err
	}
	pidfd, err := c.pidfd(id)
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	group, err := n.cgroups.Group(c.cgroup)
	if err != nil {
		return nil, err
	}
	if frozen, err := group.Frozen(); err == nil && frozen {
		return nil, errs.New(errs.Conflict, "container %s is paused, unpause the container before exec", id)
	}
	b := &builder{program: &initproc.Program{}, group: group}
	defer b.close()
	p := b.program
	confine(p, e.Process)
	p.OOMScore(oomScore(e.Process))
	tasks, err := group.Enter()
	if err != nil {
		return nil, errs.New(errs.NotFound, "container %s is not running: %w", id, err)
	}
	b.open = append(b.open, tasks...)
	for _, f := range tasks {
		p.Cgroup(f)
	}
	p.Setns(pidfd, execNamespaces)
	p.Fork()
	p.Wait()
	if err := n.process(p, e.Process, c.profile, e.Streams.Kind == task.StreamTerminal, false); err != nil {
		return nil, err
	}
	var master *os.File
	if e.Streams.Kind == task.StreamTerminal {
		if master, err = b.keep(c.execTerminal(id)); err != nil {
			return nil, err
		}
	}
	status, err := n.fork(ctx, p, &task.Create{
		Key:        task.Key{Container: id, Exec: execID},
		Generation: e.Generation,
		Streams:    e.Streams,
		Tied:       e.Tied,
		Go:         e.Go,
	}, e.Given, master)
	if err != nil {
		return nil, err
	}
	return &Process{Pid: status.Pid}, nil
}

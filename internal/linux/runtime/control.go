package runtime

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/cgroup"
	"lus/internal/linux/mount"
	"lus/internal/model/task"
)

// Signal implements Runtime.
func (n *Native) Signal(ctx context.Context, k task.Key, sig int) error {
	return n.keeper.Signal(ctx, k, sig)
}

// Resize implements Runtime.
func (n *Native) Resize(ctx context.Context, k task.Key, rows, cols uint16) error {
	return n.keeper.Resize(ctx, k, rows, cols)
}

// Stdin implements Runtime.
func (n *Native) Stdin(ctx context.Context, k task.Key) (*os.File, error) {
	return n.keeper.Stdin(ctx, k)
}

// CloseStdin implements Runtime.
func (n *Native) CloseStdin(ctx context.Context, k task.Key) error {
	return n.keeper.CloseStdin(ctx, k)
}

// Ack implements Runtime.
func (n *Native) Ack(ctx context.Context, k task.Key, generation uint64) error {
	return n.keeper.Ack(ctx, k, generation)
}

// List implements Runtime.
func (n *Native) List(ctx context.Context) ([]task.Status, error) {
	list, err := n.keeper.List(ctx)
	for i := range list {
		list[i], _ = unpack(list[i])
	}
	return list, err
}

// Watch implements Runtime.
func (n *Native) Watch(ctx context.Context, fn func(task.Status)) error {
	return n.keeper.Watch(ctx, func(s task.Status) {
		s, _ = unpack(s)
		fn(s)
	})
}

func (n *Native) group(ctx context.Context, id string) (*cgroup.Group, error) {
	c, err := n.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return n.cgroups.Group(c.cgroup)
}

// SignalAll implements Runtime.
func (n *Native) SignalAll(ctx context.Context, id string, sig int) error {
	g, err := n.group(ctx, id)
	if err != nil {
		return err
	}
	return g.Signal(unix.Signal(sig))
}

// Pause implements Runtime.
func (n *Native) Pause(ctx context.Context, id string) error {
	g, err := n.group(ctx, id)
	if err != nil {
		return err
	}
	return g.Freeze()
}

// Resume implements Runtime.
func (n *Native) Resume(ctx context.Context, id string) error {
	g, err := n.group(ctx, id)
	if err != nil {
		return err
	}
	return g.Thaw()
}

// Update implements Runtime.
func (n *Native) Update(ctx context.Context, id string, r *specs.LinuxResources) error {
	g, err := n.group(ctx, id)
	if err != nil {
		return err
	}
	return g.Apply(r)
}

// Pids implements Runtime.
func (n *Native) Pids(ctx context.Context, id string) ([]int, error) {
	g, err := n.group(ctx, id)
	if err != nil {
		return nil, err
	}
	return g.Pids()
}

// Stats implements Runtime.
func (n *Native) Stats(ctx context.Context, id string) (*Stats, error) {
	g, err := n.group(ctx, id)
	if err != nil {
		return nil, err
	}
	s, err := g.Stats()
	if err != nil {
		return nil, err
	}
	return &Stats{At: time.Now(), Stats: s}, nil
}

// Namespace implements Runtime.
func (n *Native) Namespace(ctx context.Context, id, kind string) (*os.File, error) {
	c, err := n.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return c.open(id, "ns/"+kind)
}

// Rootfs implements Runtime.
func (n *Native) Rootfs(ctx context.Context, id string) (*os.File, error) {
	c, err := n.find(ctx, id)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.root != nil {
		return mount.Open(c.root, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	}
	return c.open(id, "root")
}

// Delete implements Runtime.
func (n *Native) Delete(ctx context.Context, id string) error {
	c, err := n.find(ctx, id)
	if errs.Is(err, errs.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	kerr := n.keeper.Delete(ctx, task.Key{Container: id})
	if errs.Is(kerr, errs.NotFound) {
		kerr = nil
	}
	g, err := n.cgroups.Group(c.cgroup)
	if err != nil {
		return err
	}
	// Where it had no pid namespace of its own, others may be left.
	err = errors.Join(kerr, g.Signal(unix.SIGKILL))
	if err == nil {
		err = g.Delete()
	}
	if err != nil {
		return err
	}
	n.drop(id, c)
	return nil
}

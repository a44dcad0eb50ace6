// Package runtime starts processes in containers. Runtime is the contract;
// Native is ours, which compiles an OCI runtime spec into a short list of
// operations for the init. Package ociruntime has those that others wrote.
package runtime

import (
	"context"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/linux/cgroup"
	"lus/internal/model/task"
)

// Runtime creates, starts and watches containers. Implementations must be safe
// for concurrent use; every method is idempotent where it can be, and leaves
// nothing behind when it fails.
type Runtime interface {
	// Create makes mounts and cgroups, forks the process into its namespaces
	// and returns while it waits. Of the errors, errs.Conflict means that the
	// id exists.
	Create(ctx context.Context, c *Container) (*Process, error)
	// Exec forks a process inside a running container; it too waits for Start,
	// unless it is to go at once. NotFound where the container does not run.
	Exec(ctx context.Context, containerID, execID string, e *Exec) (*Process, error)
	// Start lets a created process go on and returns once it has become the
	// user's program. errs.CommandNotFound and errs.CommandNotExecutable say
	// that it could not; the message is worded as Docker's clients expect.
	Start(ctx context.Context, k task.Key) error
	// Signal sends a signal to the process. NotFound once it has ended.
	Signal(ctx context.Context, k task.Key, sig int) error
	// SignalAll kills everything in the container's cgroup.
	SignalAll(ctx context.Context, containerID string, sig int) error
	// Resize sets the terminal's size, in characters.
	Resize(ctx context.Context, k task.Key, rows, cols uint16) error
	// Stdin returns a descriptor to write the process's standard input to: the
	// pipe or the terminal. The caller closes it. CloseStdin ends the input.
	Stdin(ctx context.Context, k task.Key) (*os.File, error)
	CloseStdin(ctx context.Context, k task.Key) error
	// Pause and Resume freeze and thaw the container's cgroup.
	Pause(ctx context.Context, containerID string) error
	Resume(ctx context.Context, containerID string) error
	// Update changes the limits of a running container.
	Update(ctx context.Context, containerID string, r *specs.LinuxResources) error
	// Stats reads the container's counters from its cgroup.
	Stats(ctx context.Context, containerID string) (*Stats, error)
	// Pids are the container's processes, as the host numbers them.
	Pids(ctx context.Context, containerID string) ([]int, error)
	// Namespace opens a namespace of the running container's first process, by
	// its name in /proc/PID/ns, so that another can join it: by its number
	// alone that process could be a later one. The caller closes it.
	Namespace(ctx context.Context, containerID, kind string) (*os.File, error)
	// Rootfs opens the container's root as a directory descriptor, for look-ups
	// with openat2 and RESOLVE_IN_ROOT: the merged view, with volumes while it
	// runs. The caller closes it.
	Rootfs(ctx context.Context, containerID string) (*os.File, error)
	// Delete releases what Create made (mounts, cgroup, the keeper's memory of
	// it) after the process has ended; running ones are killed first.
	Delete(ctx context.Context, containerID string) error
	// List tells what runs and what ended unacknowledged. It is the only truth.
	List(ctx context.Context) ([]task.Status, error)
	// Watch calls fn for each end of a process, at least once, from one
	// goroutine and in order, until ctx ends; those that ended while nobody
	// watched come first. An exit is forgotten by the keeper only after Ack.
	Watch(ctx context.Context, fn func(task.Status)) error
	Ack(ctx context.Context, k task.Key, generation uint64) error
}

// Container is everything a runtime needs to create one.
type Container struct {
	ID         string
	Generation uint64 // rises with every start of this container
	// Spec is an OCI runtime spec. Its Root.Path is ignored where Rootfs is
	// given; of its mounts, binds name host paths.
	Spec *specs.Spec
	// Rootfs is how the root file system is made.
	Rootfs Rootfs
	// Cgroup is the container's cgroup, relative to every hierarchy's root.
	Cgroup  string
	Streams task.Streams
	// Given are the three standard streams where Streams.Kind is "given".
	Given [3]*os.File
	Tied  bool
	// NetNS gives a network namespace to join, and waits for one that is still being
	// made; nil follows the spec. It is asked last before the process is forked. The
	// file stays its giver's.
	NetNS func() (*os.File, error)
	// Record is kept by the keeper and comes back in List.
	Record []byte
	// Runtime names the runtime of somebody else that is to make it; empty: ours.
	Runtime string
}

// Rootfs is an overlay: layers below, one writable folder above.
type Rootfs struct {
	Lower    []string // topmost first; at least one
	Upper    string   // empty: the root is read-only
	Work     string
	Volatile bool // do not sync at unmount: the container is removed when it ends
	// Path is a folder to use as the root as it stands, instead of an overlay.
	Path string
}

// Exec is a process to run in a running container.
type Exec struct {
	Process    *specs.Process
	Generation uint64
	Streams    task.Streams
	Given      [3]*os.File
	Tied       bool
	// Go starts it as well: one trip to the keeper less. What Start would fail
	// with, Exec does.
	Go bool
}

// Process is a created process that waits for Start.
type Process struct {
	Pid int
	// NetNS is the container's network namespace; nil for an exec and for the
	// host's. The caller closes it.
	NetNS *os.File
}

// Stats are the counters of one container's cgroup at one moment.
type Stats struct {
	At time.Time
	*cgroup.Stats
}

package runtime

import (
	"context"
	"os"

	"lus/internal/model/task"
)

// Keeper is the parent of every process, as a Native needs it: the client of
// internal/keeper is one.
type Keeper interface {
	// Create forks an init that waits, and returns once its namespaces are
	// there. Where a step of the init fails, the error's chain has a
	// *task.StepError and nothing is left; so with Go.
	Create(ctx context.Context, c *task.Create, f Files) (task.Status, error)
	// Go lets it go on, and returns once it has become the user's program.
	Go(ctx context.Context, k task.Key) (task.Status, error)
	Signal(ctx context.Context, k task.Key, sig int) error
	Resize(ctx context.Context, k task.Key, rows, cols uint16) error
	Stdin(ctx context.Context, k task.Key) (*os.File, error)
	CloseStdin(ctx context.Context, k task.Key) error
	List(ctx context.Context) ([]task.Status, error)
	Watch(ctx context.Context, fn func(task.Status)) error
	Ack(ctx context.Context, k task.Key, generation uint64) error
	// Delete forgets a process; it is killed first where it still runs.
	Delete(ctx context.Context, k task.Key) error
}

// Files are the descriptors that go with a task.Create. They stay the caller's.
type Files struct {
	Program *os.File
	Stdio   []*os.File // three where Streams.Kind is "given"
	Files   []*os.File
}

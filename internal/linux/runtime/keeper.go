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
	// there. The files are the program, the three standard streams where they
	// are given, and those for the program; they stay the caller's. Where a
	// step of the init fails, the error's chain has a *task.StepError; so with Go.
	Create(ctx context.Context, c *task.Create, files ...*os.File) (task.Status, error)
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

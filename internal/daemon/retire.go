package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
	keeper "lus/internal/keeper/client"
	"lus/internal/linux/cgroup"
	"lus/internal/linux/network"
	"lus/internal/model/task"
)

// patience is how long the end of the helpers may take.
const patience = 10 * time.Second

// retire leaves nothing behind where nothing runs: the helpers end, and the
// bridges, the rules and the cgroups go. While a container runs it needs all of
// them, and they stay for the next daemon.
func retire(l layout.Layout, k *keeper.Client, n *names, nets *network.Manager, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := k.List(ctx)
	if err != nil {
		return err
	}
	running := 0
	for _, s := range list {
		if s.Phase != task.Ended && s.Exec == "" {
			running++
		}
	}
	if running > 0 {
		log.Info("containers run on; the next daemon takes them over", "containers", running)
		return nil
	}
	failed := []error{nets.Teardown(ctx), n.stop(ctx)}
	// A keeper that was given a process meanwhile refuses, and stays.
	if err := k.Quit(ctx); err != nil && !errs.Is(err, errs.Unavailable) {
		return errors.Join(append(failed, fmt.Errorf("ending the keeper: %w", err))...)
	}
	select {
	case <-k.Done():
	case <-ctx.Done():
	}
	return errors.Join(append(failed, dropCgroups(ctx, "lus-"+l.Instance()))...)
}

// dropCgroups removes the instance's cgroups, which the helpers are leaving.
func dropCgroups(ctx context.Context, parent string) error {
	sys, err := cgroup.Detect()
	if err != nil {
		return err
	}
	for {
		err := errors.Join(sys.Cleanup(parent+"/dns"), sys.Cleanup(parent+"/keeper"), sys.Cleanup(parent+"/build"), sys.Cleanup(parent))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
	keeper "lus/internal/keeper/client"
	"lus/internal/linux/network"
	"lus/internal/model/task"
)

// patience is how long the end of the helpers may take, on a slow machine too;
// systemd kills after 90 seconds.
const patience = 45 * time.Second

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
	ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return errors.Join(append(failed, dropCgroups(ctx, "lus-"+l.Instance()))...)
}

// dropCgroups removes the instance's cgroups from every hierarchy, once the
// helpers have left them. One that somebody is in stays.
func dropCgroups(ctx context.Context, parent string) error {
	const root = "/sys/fs/cgroup"
	var failed error
	for ctx.Err() == nil {
		failed = nil
		for _, top := range []string{filepath.Join(root, parent), filepath.Join(root, "*", parent)} {
			tops, _ := filepath.Glob(top) // fails only for a bad pattern
			for _, dir := range tops {
				failed = errors.Join(failed, removeGroups(dir))
			}
		}
		if failed == nil {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return failed
}

// removeGroups removes a cgroup and those below it.
func removeGroups(dir string) error {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			_ = removeGroups(filepath.Join(dir, e.Name())) // else that of dir fails
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing the cgroup %s: %w", dir, err)
	}
	return nil
}

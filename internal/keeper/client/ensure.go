package client

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
)

// Ensure connects to the instance's keeper, and starts one where there is none.
// The keeper is nobody's child, in a session and a cgroup of its own.
func Ensure(ctx context.Context, where layout.Layout, binary string) (*Client, error) {
	if c, err := Connect(ctx, where.KeeperSocket()); err == nil {
		return c, nil
	}
	if err := os.MkdirAll(where.Run, 0o711); err != nil {
		return nil, errs.New(errs.Unavailable, "cannot start the keeper: %w", err)
	}
	unlock, err := lock(filepath.Join(where.Run, "keeper.start"))
	if err != nil {
		return nil, errs.New(errs.Unavailable, "cannot start the keeper: %w", err)
	}
	defer unlock()
	if c, err := Connect(ctx, where.KeeperSocket()); err == nil {
		return c, nil
	}
	if err := start(ctx, where, binary); err != nil {
		return nil, err
	}
	return Connect(ctx, where.KeeperSocket())
}

func start(ctx context.Context, where layout.Layout, binary string) error {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, "--detach", "--run", where.Run, "--root", where.Root)
	cmd.Dir, cmd.Env, cmd.Stderr = "/", []string{}, &stderr
	if err := cmd.Run(); err != nil {
		why := strings.TrimSpace(stderr.String())
		if why == "" {
			why = err.Error()
		}
		return errs.New(errs.Unavailable, "cannot start the keeper (%s): %s", binary, why)
	}
	return nil
}

// lock takes a lock file, waiting for who has it.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

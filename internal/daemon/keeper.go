package daemon

import (
	"context"
	"errors"
	"log/slog"

	"lus/internal/base/layout"
	"lus/internal/base/version"
	keeper "lus/internal/keeper/client"
)

// connectKeeper connects to the keeper of this instance, which may be that of
// a former daemon, and lets one of another build become this build's: it keeps
// its processes.
func connectKeeper(ctx context.Context, l layout.Layout, log *slog.Logger) (*keeper.Client, error) {
	path, err := program("lus-keeper")
	if err != nil {
		return nil, err
	}
	k, err := keeper.Ensure(ctx, l, path)
	if err != nil {
		return nil, err
	}
	was := k.Greeting().Build
	if was == version.String() {
		return k, nil
	}
	if err := k.Upgrade(ctx, path, path, "--run", l.Run, "--root", l.Root); err != nil {
		// The former build's protocol is spoken, too: better an old keeper than
		// containers without one.
		log.Warn("the keeper stays the one of another build", "build", was, "error", err)
		return k, nil
	}
	log.Info("the keeper was replaced in place", "from", was, "to", version.String())
	return k, nil
}

// watchKeeper ends the daemon when the keeper ended: containers cannot be known
// without one. The next daemon starts another and reports what became of them.
func watchKeeper(ctx context.Context, k *keeper.Client) error {
	select {
	case <-ctx.Done():
		return nil
	case <-k.Done():
		return errors.New("the keeper ended, and with it all containers: start the daemon again, it reports them as ended")
	}
}

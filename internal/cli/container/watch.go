package container

import (
	"context"
	"errors"
	"fmt"
	"os"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
)

// makeAndRun asks for the container to be made and run with one request.
func (o *runFlags) makeAndRun(ctx context.Context, c *client.Client, r client.Request) (*client.Run, error) {
	if o.detachKeys != "" {
		r.Query.Set("detachKeys", o.detachKeys)
	}
	return c.Run(ctx, r)
}

// background prints the id of a container that runs on by itself; it is there even
// where it did not start.
func background(ctx context.Context, e *command.Env, made *client.Run) error {
	if made.Stream == nil {
		defer fmt.Fprintln(e.Out, made.ID)
		return start(ctx, e, made.ID)
	}
	err := made.Started()
	var refused *client.Refusal
	if err == nil || errors.As(err, &refused) {
		fmt.Fprintln(e.Out, made.ID)
	} // else the daemon went before it had written down that there is one
	return startFailed(err)
}

// watch follows a container that the daemon started by itself, to its exit code.
func (s *session) watch(ctx context.Context, run *client.Run) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var catchAll func()
	if s.sigProxy { // from now on, while it starts; before, they ended the making
		var caught chan os.Signal
		caught, catchAll = catchSoon()
		go passSignals(ctx, s.e, s.id, caught) // ends with ctx
	}
	if s.config.Tty {
		if err := run.Started(); err != nil {
			return s.lost(err)
		}
		s.follow(ctx)
	}
	j := s.joined(run.Stream)
	j.run, j.seen = run, catchAll
	detached, err := j.copy()
	switch {
	case detached:
		return nil
	case err != nil:
		return s.lost(err)
	}
	return exitCode(j.code)
}

// lost is the failure of a container that was watched: the daemon says why, or is
// not there any more.
func (s *session) lost(err error) error {
	var refused *client.Refusal
	if errors.As(err, &refused) {
		return startFailed(err)
	}
	return &command.Failed{Err: s.away(err), Code: 125}
}

func (s *session) away(err error) error {
	return errs.New(errs.Unavailable, "the daemon went away before the exit code was known: %w; `%s wait %s` tells it once it is back", err, s.e.Program, s.id[:min(12, len(s.id))])
}

func exitCode(code int) error {
	if code != 0 {
		return command.ExitCode(code)
	}
	return nil
}

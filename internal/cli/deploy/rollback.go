package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/compose"
)

func rollbackCommand() command.Command {
	return command.Command{
		Name: "rollback", Args: "N", Short: "Go back to the state of deployment N: its images and its configuration",
		Example: "deploy rollback 3", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			dry := f.Bool("dry-run", false, "Print what would be done, and do nothing")
			timeout := f.IntP("timeout", "t", -1, "Seconds to let a container stop that is replaced")
			return func(ctx context.Context, args []string) error {
				n, err := number(args[0])
				if err != nil {
					return err
				}
				req := &compose.RollbackRequest{ID: n, DryRun: *dry, By: caller(e, n)}
				if *timeout >= 0 {
					req.Timeout = timeout
				}
				ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
				defer stop()
				if err = carryOut(ctx, e, req); err != nil && ctx.Err() != nil {
					fmt.Fprintln(e.Err, "Interrupted; run it again, it goes on where it was")
					return command.ExitCode(130)
				}
				return err
			}
		},
	}
}

// carryOut has the daemon roll back and prints what happens, until it ends.
func carryOut(ctx context.Context, e *command.Env, req *compose.RollbackRequest) error {
	body, err := e.Client.Do(ctx, "POST", "/lus/v1/compose/rollback", req)
	if err != nil {
		return err
	}
	defer body.Close()
	for messages := client.NewMessages(body); ; {
		var ev compose.Event
		switch err := messages.Next(&ev); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errs.New(errs.Unavailable, "the daemon ended in the middle of the rollback: %w; run it again, it goes on where it was", err)
		case ev.Error != "":
			return errs.New(errs.Kind(ev.ErrorKind), "%s", ev.Error)
		case ev.Plan != "":
			fmt.Fprintln(e.Out, ev.Plan)
		default:
			fmt.Fprint(e.Err, ev.Line(false))
		}
	}
}

func caller(e *command.Env, n int64) compose.Caller {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return compose.Caller{Pid: os.Getpid(), User: name, Command: e.Program + " deploy rollback " + strconv.FormatInt(n, 10)}
}

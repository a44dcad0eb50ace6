package container

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/container"
)

func renameCommand() command.Command {
	return command.Command{
		Name: "rename", Args: "CONTAINER NAME", Short: "Give a container another name",
		Example: "rename web old-web", Min: 2, Max: 2,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				return post(ctx, e, path(args[0], "rename"), url.Values{"name": {args[1]}})
			}
		},
	}
}

func waitCommand() command.Command {
	return command.Command{
		Name: "wait", Args: "CONTAINER [CONTAINER...]", Short: "Wait until containers end and print their exit codes",
		Example: "wait web", Min: 1, Max: -1,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				var failed error
				for _, name := range args {
					var end struct{ StatusCode int }
					if err := e.Client.Call(ctx, client.Request{Method: "POST", Path: path(name, "wait")}, &end); err != nil {
						e.Complain(err)
						failed = command.ExitCode(1)
						continue
					}
					fmt.Fprintln(e.Out, end.StatusCode)
				}
				return failed
			}
		},
	}
}

func topCommand() command.Command {
	return command.Command{
		Name: "top", Args: "CONTAINER [ps OPTIONS]", Short: "Show a container's processes",
		Example: "top web", Min: 1, Max: -1, Rest: true,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				if len(args) > 1 {
					q.Set("ps_args", strings.Join(args[1:], " "))
				}
				var top container.TopResult
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: path(args[0], "top"), Query: q}, &top); err != nil {
					return err
				}
				w := tabwriter.NewWriter(e.Out, 20, 1, 3, ' ', 0)
				fmt.Fprintln(w, strings.Join(top.Titles, "\t"))
				for _, p := range top.Processes {
					fmt.Fprintln(w, terminal.Harmless(e.Out, strings.Join(p, "\t")))
				}
				return w.Flush()
			}
		},
	}
}

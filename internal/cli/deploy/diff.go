package deploy

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/compose"
)

func diffCommand() command.Command {
	return command.Command{
		Name: "diff", Args: "N [M]", Short: "Show what deployment N changed, or what differs from N to M",
		Example: "deploy diff 3 5", Min: 1, Max: 2,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				from, err := number(args[0])
				if err != nil {
					return err
				}
				q := url.Values{}
				if len(args) > 1 {
					if _, err := number(args[1]); err != nil {
						return err
					}
					q.Set("to", args[1])
				}
				var d compose.Difference
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: path(from, "/diff"), Query: q}, &d); err != nil {
					return err
				}
				if len(d.Lines) == 0 {
					_, err := fmt.Fprintf(e.Err, "Nothing differs from deployment %d to %d\n", d.From, d.To)
					return err
				}
				for _, l := range d.Lines {
					fmt.Fprintln(e.Out, l)
				}
				return nil
			}
		},
	}
}

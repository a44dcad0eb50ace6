package container

import (
	"context"
	"net/url"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
)

func inspectCommand() command.Command {
	return command.Command{
		Name: "inspect", Args: "CONTAINER [CONTAINER...]", Short: "Show all that is known about containers",
		Example: "container inspect --format '{{.State.Pid}}' web", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.StringP("format", "f", "", "Print by a Go template, or json")
			size := f.BoolP("size", "s", false, "Show sizes")
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				if *size {
					q.Set("size", "1")
				}
				return output.Inspect(e.Out, e.Err, *format, args, func(name string) ([]byte, error) {
					return e.Client.Raw(ctx, path(name, "json"), q)
				})
			}
		},
	}
}

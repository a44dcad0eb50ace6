package image

import (
	"context"
	"net/url"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
)

func inspectCommand() command.Command {
	return command.Command{
		Name: "inspect", Args: "IMAGE [IMAGE...]", Short: "Show all that is known about images",
		Example: "image inspect --format '{{.Config.Env}}' debian:bookworm-slim", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.StringP("format", "f", "", "Print by a Go template, or json")
			only := platformFlag(f)
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				if err := setPlatform(q, "platform", *only); err != nil {
					return err
				}
				return output.Inspect(e.Out, e.Err, *format, args, func(name string) ([]byte, error) {
					return e.Client.Raw(ctx, path(name, "json"), q)
				})
			}
		},
	}
}

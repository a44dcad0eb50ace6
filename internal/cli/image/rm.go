package image

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/client"
)

func rmCommand() command.Command {
	return command.Command{
		Name: "rm", Aliases: []string{"rmi", "remove"}, Args: "IMAGE [IMAGE...]", Short: "Remove images",
		Example: "image rm debian:bookworm-slim", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			force := f.BoolP("force", "f", false, "Also where a stopped container was made from it; no error where it is not there")
			keep := f.Bool("no-prune", false, "Keep parents without a name")
			only := f.StringArray("platform", nil, "Remove only that of this platform, as linux/amd64")
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				for _, p := range *only {
					if err := setPlatform(q, "platforms", p); err != nil {
						return err
					}
				}
				if *force {
					q.Set("force", "1")
				}
				if *keep {
					q.Set("noprune", "1")
				}
				var failed error
				for _, name := range args {
					var out []removed
					err := e.Client.Call(ctx, client.Request{Method: "DELETE", Path: path(name, ""), Query: q}, &out)
					if err != nil {
						e.Complain(err)
						if !*force || !IsMissing(err) {
							failed = command.ExitCode(1)
						}
					}
					for _, r := range out {
						if r.Untagged != "" {
							fmt.Fprintln(e.Out, "Untagged:", r.Untagged)
						}
						if r.Deleted != "" {
							fmt.Fprintln(e.Out, "Deleted:", r.Deleted)
						}
					}
				}
				return failed
			}
		},
	}
}

func tagCommand() command.Command {
	return command.Command{
		Name: "tag", Args: "IMAGE NAME[:TAG]", Short: "Give an image another name",
		Example: "tag app app:1.0", Min: 2, Max: 2,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				if strings.Contains(args[1], "@") {
					return fmt.Errorf("refusing to create a tag with a digest reference")
				}
				repo, tag := SplitTag(Tagged(args[1]))
				q := url.Values{"repo": {repo}, "tag": {tag}}
				return e.Client.Call(ctx, client.Request{Method: "POST", Path: path(args[0], "tag"), Query: q}, nil)
			}
		},
	}
}

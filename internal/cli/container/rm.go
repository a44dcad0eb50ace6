package container

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
)

func rmCommand() command.Command {
	return command.Command{
		Name: "rm", Aliases: []string{"remove"}, Args: "CONTAINER [CONTAINER...]", Short: "Remove containers",
		Example: "rm -f web", Min: 1, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			force := f.BoolP("force", "f", false, "Kill them first where they run; no error where they are not there")
			volumes := f.BoolP("volumes", "v", false, "Remove their anonymous volumes too")
			link := f.BoolP("link", "l", false, "Remove the link only")
			return func(ctx context.Context, args []string) error {
				q := url.Values{}
				for key, on := range map[string]bool{"force": *force, "v": *volumes, "link": *link} {
					if on {
						q.Set(key, "1")
					}
				}
				var failed error
				for _, name := range args {
					err := remove(ctx, e, name, q)
					switch {
					case err == nil:
						fmt.Fprintln(e.Out, name)
					case *force && errs.Is(err, errs.NotFound):
						e.Complain(err) // as asked: it is not there
					default:
						e.Complain(err)
						failed = command.ExitCode(1)
					}
				}
				return failed
			}
		},
	}
}

func remove(ctx context.Context, e *command.Env, name string, q url.Values) error {
	return e.Client.Call(ctx, client.Request{Method: "DELETE", Path: path(name, ""), Query: q}, nil)
}

// list asks for containers that fit the filters.
func list(ctx context.Context, e *command.Env, filters []string, all bool) ([]Summary, error) {
	q, err := output.Filters(filters)
	if err != nil {
		return nil, err
	}
	if all {
		q.Set("all", "1")
	}
	var out []Summary
	err = e.Client.Call(ctx, client.Request{Method: "GET", Path: "/containers/json", Query: q}, &out)
	return out, err
}

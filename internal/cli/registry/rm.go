package registry

import (
	"context"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
)

func rmCommand() command.Command {
	return command.Command{
		Name: "rm", Aliases: []string{"remove"}, Args: "REPOSITORY[:TAG|@DIGEST] [...]", Short: "Remove tags, manifests or whole repositories",
		Example: "registry rm me/app:1", Min: 1, Max: -1,
		Flags: func(e *command.Env, _ *pflag.FlagSet) command.Do {
			return func(ctx context.Context, args []string) error {
				return e.Each(args, func(arg string) error {
					name, ref := cut(arg)
					q := url.Values{"repository": {name}}
					if ref != "" {
						q.Set("reference", ref)
					}
					return call(ctx, e, "DELETE", "repositories", q, nil, nil)
				})
			}
		},
	}
}

// cut takes a name and a tag or digest apart.
func cut(arg string) (name, ref string) {
	if name, ref, ok := strings.Cut(arg, "@"); ok {
		return name, ref
	}
	if i := strings.LastIndexByte(arg, ':'); i > strings.LastIndexByte(arg, '/') {
		return arg[:i], arg[i+1:]
	}
	return arg, ""
}

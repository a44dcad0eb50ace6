package registry

import (
	"context"
	"net/url"
	"strconv"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/model/registry"
)

func searchCommand() command.Command {
	return command.Command{
		Name: "search", Args: "TERM", Short: "Find repositories by a part of their name",
		Example: "registry search app", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			how := output.ListFlags(f, "", "")
			limit := f.Int("limit", 25, "At most so many")
			return func(ctx context.Context, args []string) error {
				var list []registry.Found
				q := url.Values{"term": {args[0]}, "limit": {strconv.Itoa(*limit)}}
				if err := call(ctx, e, "GET", "search", q, nil, &list); err != nil {
					return err
				}
				return output.Rows(e.Out, how, "{{.Name}}\t{{.Description}}", output.Headers{"Name": "NAME", "Description": "DESCRIPTION", "Tags": "TAGS"},
					list, func(r registry.Found) found { return found{r} })
			}
		},
	}
}

type found struct{ f registry.Found }

// Name is the repository's.
func (f found) Name() string { return f.f.Name }

// Description tells the newest tags.
func (f found) Description() string { return f.f.Description }

// Tags is how many there are.
func (f found) Tags() string { return strconv.Itoa(f.f.Tags) }

package image

import (
	"context"
	"strconv"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
	"lus/internal/model/image"
)

// shownDescription is how much of a description is shown, as in Docker.
const shownDescription = 45

func searchCommand() command.Command {
	return command.Command{
		Name: "search", Args: "TERM", Short: "Find images in this host's registry",
		Example: "search app", Min: 1, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.String("format", "", "Print by a Go template: table TEMPLATE, json, or TEMPLATE")
			filters := output.FilterFlag(f, "f", "Only those that fit, as is-official=true or stars=3")
			limit := f.Int("limit", 0, "At most so many")
			noTrunc := f.Bool("no-trunc", false, "Print whole descriptions")
			return func(ctx context.Context, args []string) error {
				q, err := output.Filters(*filters)
				if err != nil {
					return err
				}
				q.Set("term", args[0])
				if *limit < 0 || *limit > 100 {
					return errs.New(errs.Invalid, "limit %d is outside the range of [1, 100]", *limit)
				}
				if *limit > 0 {
					q.Set("limit", strconv.Itoa(*limit))
				}
				var list []image.Found
				if err := e.Client.Call(ctx, client.Request{Method: "GET", Path: "/images/search", Query: q}, &list); err != nil {
					return err
				}
				rows := make([]found, 0, len(list))
				for _, i := range list {
					rows = append(rows, found{i, *noTrunc})
				}
				return output.List(e.Out, *format, "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
					output.Headers{"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"}, rows)
			}
		},
	}
}

type found struct {
	i     image.Found
	whole bool
}

// Name is what a pull calls it.
func (f found) Name() string { return f.i.Name }

// Description is what there is to say about it.
func (f found) Description() string {
	if r := []rune(f.i.Description); len(r) > shownDescription && !f.whole {
		return string(r[:shownDescription-1]) + "…"
	}
	return f.i.Description
}

// StarCount is a hub's matter.
func (f found) StarCount() string { return strconv.Itoa(f.i.StarCount) }

// IsOfficial is a hub's matter, too.
func (f found) IsOfficial() string {
	if f.i.IsOfficial {
		return "[OK]"
	}
	return ""
}

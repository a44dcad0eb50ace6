package registry

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/model/registry"
)

func lsCommand() command.Command {
	return command.Command{
		Name: "ls", Aliases: []string{"list"}, Args: "[REPOSITORY]", Short: "List the repositories, or the tags of one",
		Example: "registry ls me/app", Min: 0, Max: 1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			format := f.String("format", "", "Print by a Go template: table TEMPLATE, json, or TEMPLATE")
			quiet := f.BoolP("quiet", "q", false, "Print names only")
			return func(ctx context.Context, args []string) error {
				if len(args) > 0 {
					return listTags(ctx, e, args[0], *format, *quiet)
				}
				var list []registry.Repository
				if err := call(ctx, e, "GET", "repositories", nil, nil, &list); err != nil {
					return err
				}
				rows := make([]repository, 0, len(list))
				for _, r := range list {
					if *quiet {
						fmt.Fprintln(e.Out, r.Name)
					}
					rows = append(rows, repository{r})
				}
				if *quiet {
					return nil
				}
				return output.List(e.Out, *format, "{{.Repository}}\t{{.Tags}}\t{{.Size}}\t{{.Updated}}",
					output.Headers{"Repository": "REPOSITORY", "Tags": "TAGS", "Size": "SIZE", "Updated": "UPDATED"}, rows)
			}
		},
	}
}

func listTags(ctx context.Context, e *command.Env, name, format string, quiet bool) error {
	var list []registry.Tag
	if err := call(ctx, e, "GET", "tags", url.Values{"repository": {name}}, nil, &list); err != nil {
		return err
	}
	rows := make([]tag, 0, len(list))
	for _, t := range list {
		if quiet {
			fmt.Fprintln(e.Out, t.Name)
		}
		rows = append(rows, tag{t})
	}
	if quiet {
		return nil
	}
	return output.List(e.Out, format, "{{.Tag}}\t{{.Digest}}\t{{.Size}}\t{{.Updated}}",
		output.Headers{"Tag": "TAG", "Digest": "DIGEST", "Size": "SIZE", "Updated": "UPDATED", "MediaType": "MEDIA TYPE"}, rows)
}

type repository struct{ r registry.Repository }

// Repository is the name.
func (r repository) Repository() string { return r.r.Name }

// Tags is how many there are.
func (r repository) Tags() string { return strconv.Itoa(r.r.Tags) }

// Size is what it takes, each blob once.
func (r repository) Size() string { return units.HumanSizeWithPrecision(float64(r.r.Size), 3) }

// Updated is when something was last pushed.
func (r repository) Updated() string { return ago(r.r.Updated) }

type tag struct{ t registry.Tag }

// Tag is the name.
func (t tag) Tag() string { return t.t.Name }

// Digest is that of the manifest.
func (t tag) Digest() string { return t.t.Digest }

// MediaType is that of the manifest.
func (t tag) MediaType() string { return t.t.MediaType }

// Size is what it needs, each blob once.
func (t tag) Size() string { return units.HumanSizeWithPrecision(float64(t.t.Size), 3) }

// Updated is when it was last pushed.
func (t tag) Updated() string { return ago(t.t.Updated) }

func ago(t time.Time) string { return units.HumanDuration(time.Since(t)) + " ago" }

package registry

import (
	"context"
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
			how := output.ListFlags(f, "Name", "names")
			return func(ctx context.Context, args []string) error {
				if len(args) > 0 {
					return listTags(ctx, e, args[0], how)
				}
				var list []registry.Repository
				if err := call(ctx, e, "GET", "repositories", nil, nil, &list); err != nil {
					return err
				}
				return output.Rows(e.Out, how, "{{.Repository}}\t{{.Tags}}\t{{.Size}}\t{{.Updated}}",
					output.Headers{"Repository": "REPOSITORY", "Tags": "TAGS", "Size": "SIZE", "Updated": "UPDATED"},
					list, func(r registry.Repository) repository { return repository{r} })
			}
		},
	}
}

func listTags(ctx context.Context, e *command.Env, name string, how *output.Listing) error {
	var list []registry.Tag
	if err := call(ctx, e, "GET", "tags", url.Values{"repository": {name}}, nil, &list); err != nil {
		return err
	}
	return output.Rows(e.Out, how, "{{.Tag}}\t{{.Digest}}\t{{.Size}}\t{{.Updated}}",
		output.Headers{"Tag": "TAG", "Digest": "DIGEST", "Size": "SIZE", "Updated": "UPDATED", "MediaType": "MEDIA TYPE"},
		list, func(t registry.Tag) tag { return tag{t} })
}

type repository struct{ r registry.Repository }

// Name is the name, which Repository is too.
func (r repository) Name() string { return r.r.Name }

// Repository is the name.
func (r repository) Repository() string { return r.r.Name }

// Tags is how many there are.
func (r repository) Tags() string { return strconv.Itoa(r.r.Tags) }

// Size is what it takes, each blob once.
func (r repository) Size() string { return units.HumanSizeWithPrecision(float64(r.r.Size), 3) }

// Updated is when something was last pushed.
func (r repository) Updated() string { return ago(r.r.Updated) }

type tag struct{ t registry.Tag }

// Name is the name, which Tag is too.
func (t tag) Name() string { return t.t.Name }

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

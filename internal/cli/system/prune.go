package system

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/cli/prune"
)

// pruneFlags are the flags of system prune.
type pruneFlags struct {
	all, force, volumes bool
	filters             *[]string
}

func pruneCommand() command.Command {
	return command.Command{
		Name: "prune", Short: "Remove containers, networks, images and build cache that nothing uses",
		Example: "system prune -f --filter until=24h", Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			o := &pruneFlags{}
			f.BoolVarP(&o.all, "all", "a", false, "All images that no container uses, and all build cache")
			o.filters = output.FilterFlag(f, "", "Only those that fit, as label=a=b or until=24h")
			f.BoolVarP(&o.force, "force", "f", false, "Do not ask")
			f.BoolVar(&o.volumes, "volumes", false, "Anonymous volumes too")
			return func(ctx context.Context, _ []string) error { return o.run(ctx, e) }
		},
	}
}

func (o *pruneFlags) has(key string) bool {
	for _, f := range *o.filters {
		if k, _, _ := strings.Cut(f, "="); strings.TrimSuffix(k, "!") == key {
			return true
		}
	}
	return false
}

func (o *pruneFlags) run(ctx context.Context, e *command.Env) error {
	*o.filters = prune.Filters(e, *o.filters)
	if o.volumes && o.has("until") {
		return errs.New(errs.Invalid, `ERROR: The "until" filter is not supported with "--volumes"`)
	}
	if !o.force && !e.Ask(o.question()) {
		return nil
	}
	type step struct {
		kind prune.Kind
		all  bool
	}
	// Containers first: what only they needed goes with them.
	steps := []step{{prune.Containers(), false}, {prune.Networks(), false}}
	if o.volumes {
		steps = append(steps, step{prune.Volumes(), false})
	}
	steps = append(steps, step{prune.Images(), o.all})
	if !o.has("label") { // build cache has none
		steps = append(steps, step{prune.BuildCache(), o.all})
	}
	var freed uint64
	for _, s := range steps {
		text, n, err := s.kind.Run(ctx, e, *o.filters, s.all)
		if err != nil {
			return err
		}
		freed += n
		if text != "" {
			fmt.Fprintln(e.Out, text)
		}
	}
	fmt.Fprintln(e.Out, "Total reclaimed space:", prune.Space(freed))
	return nil
}

// question lists what will go, as Docker words it.
func (o *pruneFlags) question() string {
	what := []string{"all stopped containers", "all networks not used by at least one container"}
	if o.volumes {
		what = append(what, "all anonymous volumes not used by at least one container")
	}
	images, cache := "all dangling images", "unused build cache"
	if o.all {
		images, cache = "all images without at least one container associated to them", "all build cache"
	}
	what = append(what, images)
	if !o.has("label") {
		what = append(what, cache)
	}
	text := "WARNING! This will remove:\n  - " + strings.Join(what, "\n  - ") + "\n"
	if len(*o.filters) > 0 {
		text += "\n  Items to be pruned will be filtered with:\n  - " + strings.Join(*o.filters, "\n  - ") + "\n"
	}
	return text + "\nAre you sure you want to continue?"
}

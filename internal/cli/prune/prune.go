// Package prune holds what all commands share that remove whatever is not in
// use: `prune` of each noun, and of the system.
package prune

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
)

// Kind is one kind of things that can be pruned.
type Kind struct {
	short, example string
	path           string // in the API
	title          string // before the list of what was removed
	warning        string
	// all is the warning where --all is given; empty: there is no such flag.
	all, allHelp string
	// ask is the question where it is not the warning and the usual one.
	ask func(all bool) string
	// query turns --all into the request.
	query func(q url.Values, filters []string, all bool) []string
	flags func(f *pflag.FlagSet) func(url.Values) error
	space bool // what was removed took space
}

// report is the answer to all kinds of pruning.
type report struct {
	ContainersDeleted, VolumesDeleted, NetworksDeleted, CachesDeleted []string
	ImagesDeleted                                                     []struct{ Untagged, Deleted string }
	SpaceReclaimed                                                    uint64
}

func (r *report) lines() []string {
	var out []string
	for _, l := range [][]string{r.ContainersDeleted, r.VolumesDeleted, r.NetworksDeleted, r.CachesDeleted} {
		out = append(out, l...)
	}
	for _, i := range r.ImagesDeleted {
		if i.Untagged != "" {
			out = append(out, "untagged: "+i.Untagged)
		}
		if i.Deleted != "" {
			out = append(out, "deleted: "+i.Deleted)
		}
	}
	return out
}

// Containers are those that do not run.
func Containers() Kind {
	return Kind{
		short: "Remove all containers that do not run", example: "container prune -f", path: "/containers/prune",
		title: "Deleted Containers:", warning: "This will remove all stopped containers.", space: true,
	}
}

// Volumes are the anonymous ones that no container has, or all of those.
func Volumes() Kind {
	return Kind{
		short: "Remove volumes that no container uses", example: "volume prune -f", path: "/volumes/prune",
		title: "Deleted Volumes:", space: true, allHelp: "Those with a name too",
		warning: "This will remove anonymous local volumes not used by at least one container.",
		all:     "This will remove all local volumes not used by at least one container.",
		query: func(_ url.Values, filters []string, all bool) []string {
			if all {
				filters = append(filters, "all=true")
			}
			return filters
		},
	}
}

// Networks are those that no container belongs to.
func Networks() Kind {
	return Kind{
		short: "Remove all networks that no container uses", example: "network prune -f", path: "/networks/prune",
		title: "Deleted Networks:", warning: "This will remove all custom networks not used by at least one container.",
	}
}

// Images are those without a name that no container uses, or all unused ones.
func Images() Kind {
	return Kind{
		short: "Remove images that no container uses", example: "image prune -a -f", path: "/images/prune",
		title: "Deleted Images:", space: true, allHelp: "Those with a name too",
		warning: "This will remove all dangling images.",
		all:     "This will remove all images without at least one container associated to them.",
		query: func(_ url.Values, filters []string, all bool) []string {
			return append(filters, fmt.Sprintf("dangling=%v", !all))
		},
	}
}

// BuildCache is what no running build uses.
func BuildCache() Kind {
	k := Kind{
		short: "Remove build cache", example: "builder prune -f", path: "/build/prune",
		title: "Deleted build cache objects:", space: true, allHelp: "Also what images and frontends share",
		warning: "This will remove all dangling build cache.",
		all:     "This will remove all build cache.",
		query: func(q url.Values, filters []string, all bool) []string {
			if all {
				q.Set("all", "1")
			}
			return filters
		},
	}
	k.ask = func(all bool) string {
		if all {
			return "WARNING! " + k.all + " Are you sure you want to continue?"
		}
		return "WARNING! " + k.warning + " Are you sure you want to continue?"
	}
	k.flags = func(f *pflag.FlagSet) func(url.Values) error {
		keep := f.String("keep-storage", "", "Leave so much, as 10g")
		return func(q url.Values) error {
			if *keep == "" {
				return nil
			}
			n, err := units.RAMInBytes(*keep)
			if err != nil {
				return fmt.Errorf("invalid argument %q for --keep-storage: write it as 512m or 10g", *keep)
			}
			q.Set("keep-storage", fmt.Sprint(n))
			return nil
		}
	}
	return k
}

// Command is `prune` of a noun.
func Command(k Kind) command.Command {
	return command.Command{
		Name: "prune", Short: k.short, Example: k.example, Min: 0, Max: 0,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			all := new(bool)
			if k.all != "" {
				f.BoolVarP(all, "all", "a", false, k.allHelp)
			}
			force := f.BoolP("force", "f", false, "Do not ask")
			filters := output.FilterFlag(f, "", "Only those that fit, as label=a=b or until=24h")
			more := func(url.Values) error { return nil }
			if k.flags != nil {
				more = k.flags(f)
			}
			return func(ctx context.Context, _ []string) error {
				if !*force && !e.Ask(k.question(*all)) {
					return nil
				}
				text, freed, err := k.run(ctx, e, Filters(e, *filters), *all, more)
				if err != nil {
					return err
				}
				if text != "" {
					fmt.Fprintln(e.Out, text)
				}
				if k.space {
					fmt.Fprintln(e.Out, "Total reclaimed space:", Space(freed))
				}
				return nil
			}
		},
	}
}

// Filters are those that were given and those that the user chose once for all in
// Docker's configuration file, except one that says the opposite of one given.
func Filters(e *command.Env, given []string) []string {
	all := slices.Clone(given)
	for _, f := range e.Config().PruneFilters {
		key, value, ok := strings.Cut(f, "=")
		opposite := key + "!"
		if bare, is := strings.CutSuffix(key, "!"); is {
			opposite = bare
		}
		if ok && !slices.Contains(given, opposite+"="+value) && !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}

// Space writes how much was given back.
func Space(n uint64) string { return units.HumanSize(float64(n)) }

func (k Kind) question(all bool) string {
	if k.ask != nil {
		return k.ask(all)
	}
	warning := k.warning
	if all {
		warning = k.all
	}
	return "WARNING! " + warning + "\nAre you sure you want to continue?"
}

// Run prunes, and returns the list of what went, empty where nothing did.
func (k Kind) Run(ctx context.Context, e *command.Env, filters []string, all bool) (text string, freed uint64, err error) {
	return k.run(ctx, e, filters, all, func(url.Values) error { return nil })
}

func (k Kind) run(ctx context.Context, e *command.Env, filters []string, all bool, more func(url.Values) error) (string, uint64, error) {
	extra := url.Values{}
	if k.query != nil {
		filters = k.query(extra, filters, all)
	}
	if err := more(extra); err != nil {
		return "", 0, err
	}
	q, err := output.Filters(filters)
	if err != nil {
		return "", 0, err
	}
	for key := range extra {
		q.Set(key, extra.Get(key))
	}
	var r report
	if err := e.Client.Call(ctx, client.Request{Method: "POST", Path: k.path, Query: q}, &r); err != nil {
		return "", 0, err
	}
	lines := r.lines()
	if len(lines) == 0 {
		return "", r.SpaceReclaimed, nil
	}
	return k.title + "\n" + strings.Join(lines, "\n") + "\n", r.SpaceReclaimed, nil
}

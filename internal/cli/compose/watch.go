package compose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/composefile"
	"lus/internal/model/compose"
)

// watchFlags are the flags of watch.
type watchFlags struct {
	noUp, quiet, prune bool
	services           []string // to watch; empty: all
}

// settling is how long no change must come before the ones that came are acted
// on: an editor or a checkout writes many files at once.
const settling = 300 * time.Millisecond

// restless is how long changes that never pause may put that off.
const restless = 2 * time.Second

func watchCommand() command {
	return command{
		name: "watch", args: "[SERVICE...]", short: "Follow changes of the sources: copy them in, restart or rebuild", example: "lus compose watch web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			o := watchFlags{}
			f.BoolVar(&o.noUp, "no-up", false, "do not build and start the services first")
			f.BoolVar(&o.quiet, "quiet", false, "print nothing of builds")
			f.BoolVar(&o.prune, "prune", true, "remove the image that a rebuild replaced")
			return func(ctx context.Context, services []string) error {
				l, err := a.project(ctx, services)
				if err != nil {
					return err
				}
				if err := a.credentials(l.Project); err != nil {
					return err
				}
				if _, _, err := triggersOf(l, services); err != nil {
					return err
				}
				if !o.noUp {
					if err := a.up(ctx, &compose.UpRequest{Project: l.Project, Services: services, Build: true, QuietBuild: o.quiet}); err != nil {
						return err
					}
				}
				o.services = services
				return a.watch(ctx, l, o)
			}
		},
	}
}

// watch acts on changes until ctx ends.
func (a *app) watch(ctx context.Context, l *composefile.Loaded, o watchFlags) error {
	a.attached = true // what it says itself goes to the same terminal
	triggers, mounted, err := triggersOf(l, o.services)
	if err != nil {
		return err
	}
	for _, rule := range mounted {
		fmt.Fprintf(a.Err, "warning: services.%s.develop.watch: %s is not watched: the service mounts it at %s and sees each change as it is made\n", rule.Service, rule.Path, rule.Mounted)
	}
	tree, err := watchTree(triggers)
	if err != nil {
		return err
	}
	defer tree.close()
	w := &watching{app: a, l: l, flags: o, triggers: triggers}
	if err := w.initial(ctx); err != nil {
		return err
	}
	fmt.Fprintln(a.Err, "Watch enabled")
	changed := map[string]bool{}
	var settled <-chan time.Time
	var first time.Time
	note := func(paths []string) {
		for _, path := range paths {
			changed[path] = true
		}
		if len(changed) == 0 {
			return
		}
		if settled == nil {
			first = time.Now()
		}
		settled = time.After(min(settling, time.Until(first.Add(restless))))
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-tree.errors():
			paths, err := tree.lost(err)
			if err != nil {
				return err
			}
			note(paths)
		case e := <-tree.events():
			note(tree.seen(e))
		case <-settled:
			settled = nil
			if err := w.act(ctx, slices.Sorted(maps.Keys(changed))); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				fmt.Fprintf(a.Err, "watch: %v; it goes on with the next change\n", err)
			}
			clear(changed)
		}
	}
}

// watching is one watch of a project.
type watching struct {
	*app
	l        *composefile.Loaded
	flags    watchFlags
	triggers []trigger
}

// initial copies what rules with initial_sync are for.
func (w *watching) initial(ctx context.Context) error {
	for _, t := range w.triggers {
		if !t.InitialSync || !t.Syncs() {
			continue
		}
		pairs, err := t.everything()
		if err != nil {
			return err
		}
		if err := w.sync(ctx, t.Service, pairs); err != nil {
			return err
		}
	}
	return nil
}

// upAndWatch is a foreground up that follows changes of the sources too, once
// there are containers to copy them into.
func (a *app) upAndWatch(ctx context.Context, req *compose.UpRequest, l *composefile.Loaded, o *followFlags) error {
	if _, _, err := triggersOf(l, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	err := a.foreground(ctx, req, o, func() {
		watching.Go(func() {
			if err := a.watch(ctx, l, watchFlags{noUp: true, quiet: req.QuietBuild}); err != nil && !errors.Is(err, context.Canceled) {
				cancel(err)
			}
		})
	})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

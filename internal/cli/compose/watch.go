package compose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
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
				if _, err := triggersOf(l, services); err != nil {
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

// trigger is one rule of develop.watch, ready to be asked.
type trigger struct {
	composefile.Watch
	match *matcher
}

// triggersOf are the rules of the services, or of those asked for and what they are
// built from.
func triggersOf(l *composefile.Loaded, services []string) ([]trigger, error) {
	var out []trigger
	for _, rule := range l.Watches() {
		asked := func(name string) bool { return slices.Contains(services, name) }
		if len(services) > 0 && !asked(rule.Service) &&
			(rule.Action != composefile.Rebuild || !slices.ContainsFunc(builtFrom(l.Project, rule.Service), asked)) {
			continue
		}
		m, err := newMatcher(rule)
		if err == nil && rule.Action == composefile.Rebuild && rule.Build == nil {
			err = errs.New(errs.Invalid, "action rebuild needs build: in the service")
		}
		if err == nil && rule.Syncs() && rule.Target == "" {
			err = errs.New(errs.Invalid, "action %s needs a target in the container", rule.Action)
		}
		if err != nil {
			return nil, fmt.Errorf("services.%s.develop.watch[%d]: %w", rule.Service, rule.Nth, err)
		}
		out = append(out, trigger{rule, m})
	}
	if len(out) == 0 {
		return nil, errs.New(errs.Invalid, "none of the services has develop.watch: say there what to do when which files change")
	}
	return out, nil
}

// watch acts on changes until ctx ends.
func (a *app) watch(ctx context.Context, l *composefile.Loaded, o watchFlags) error {
	a.attached = true // what it says itself goes to the same terminal
	triggers, err := triggersOf(l, o.services)
	if err != nil {
		return err
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
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-tree.errors():
			return err
		case e := <-tree.events():
			for _, path := range tree.seen(e) {
				changed[path] = true
			}
			if len(changed) == 0 {
				continue
			}
			if settled == nil {
				first = time.Now()
			}
			settled = time.After(min(settling, time.Until(first.Add(restless))))
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

// demand is what a batch of changes asks of one service.
type demand struct {
	rebuild, restart bool
	sync             map[string]string // host's path -> container's
	execs            []compose.Hook
}

// act does what changed files ask for: a rebuild makes the rest needless.
func (w *watching) act(ctx context.Context, paths []string) error {
	asked := map[string]*demand{}
	for _, t := range w.triggers {
		for _, path := range paths {
			rel, ok := t.match.wants(path)
			if !ok {
				continue
			}
			d := asked[t.Service]
			if d == nil {
				d = &demand{sync: map[string]string{}}
				asked[t.Service] = d
			}
			d.add(t.Watch, path, rel)
		}
	}
	for name, d := range maps.Clone(asked) {
		if !d.rebuild {
			continue
		}
		for _, other := range builtFrom(w.l.Project, name) {
			if len(w.flags.services) == 0 || slices.Contains(w.flags.services, other) {
				asked[other] = &demand{rebuild: true}
			}
		}
		if !runs(w.l.Project, name) || len(w.flags.services) > 0 && !slices.Contains(w.flags.services, name) {
			delete(asked, name) // it is built with those
		}
	}
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		failed = append(failed, w.do(ctx, name, asked[name]))
	}
	return errors.Join(failed...)
}

// builtFrom are the services whose images are built, also by way of others, from the
// image of the one called name.
func builtFrom(p *compose.Project, name string) []string {
	var out []string
	reached := map[string]bool{name: true}
	for more := true; more; {
		more = false
		for _, s := range slices.Concat(p.Services, p.Bases) {
			if reached[s.Name] || !slices.ContainsFunc(s.BuildFrom, func(from string) bool { return reached[from] }) {
				continue
			}
			reached[s.Name], more = true, true
			if runs(p, s.Name) {
				out = append(out, s.Name)
			}
		}
	}
	return out
}

// runs reports whether a service is one that runs, and not only one that others are
// built from.
func runs(p *compose.Project, name string) bool {
	return slices.ContainsFunc(p.Services, func(s compose.Service) bool { return s.Name == name })
}

func (d *demand) add(rule composefile.Watch, path, rel string) {
	switch rule.Action {
	case composefile.Rebuild:
		d.rebuild = true
	case composefile.Restart:
		d.restart = true
	default:
		d.sync[path] = strings.TrimSuffix(rule.Target, "/") + "/" + rel
		if rel == "." {
			d.sync[path] = rule.Target
		}
		d.restart = d.restart || rule.Restarts()
		if rule.Execs() && !slices.ContainsFunc(d.execs, func(h compose.Hook) bool { return slices.Equal(h.Cmd, rule.Exec.Cmd) }) {
			d.execs = append(d.execs, rule.Exec)
		}
	}
}

func (w *watching) do(ctx context.Context, service string, d *demand) error {
	if d.rebuild {
		fmt.Fprintf(w.Err, "Rebuilding service %q after changes were detected...\n", service)
		return w.rebuild(ctx, service)
	}
	if len(d.sync) > 0 {
		fmt.Fprintf(w.Err, "Syncing service %q after %d changes were detected\n", service, len(d.sync))
		if err := w.sync(ctx, service, d.sync); err != nil {
			return err
		}
	}
	for _, h := range d.execs {
		if err := w.exec(ctx, service, h); err != nil {
			return err
		}
	}
	if d.restart {
		fmt.Fprintf(w.Err, "Restarting service %q after changes were detected...\n", service)
		return w.stream(ctx, "restart", &compose.StateRequest{Name: w.l.Project.Name, Project: w.l.Project, Services: []string{service}, NoDeps: true, Parallel: w.parallel}, w.printer())
	}
	return nil
}

// rebuild builds a service's image and replaces its containers, and nothing else.
func (w *watching) rebuild(ctx context.Context, service string) error {
	p := *w.l.Project
	p.Services = slices.Clone(p.Services)
	alone(&p, []string{service})
	image := ""
	for _, s := range p.Services {
		if s.Name == service {
			image = s.Image
		}
	}
	before, _ := w.inspectImage(ctx, image)
	if err := w.stream(ctx, "up", &compose.UpRequest{Project: &p, Services: []string{service}, Build: true, QuietBuild: w.flags.quiet}, w.printer()); err != nil {
		return err
	}
	after, err := w.inspectImage(ctx, image)
	if err != nil || !w.flags.prune || before.ID == "" || before.ID == after.ID {
		return err
	}
	body, err := w.daemon.Do(ctx, "DELETE", "/images/"+url.PathEscape(before.ID), nil)
	if err == nil {
		return body.Close()
	}
	if errs.Is(err, errs.Conflict) || errs.Is(err, errs.NotFound) {
		return nil // something else uses it, or it went already
	}
	return err
}

// running are the service's containers that files can be copied into.
func (w *watching) running(ctx context.Context, service string) ([]summary, error) {
	list, err := w.containers(ctx, w.l.Project.Name, false)
	return lasting(named(list, []string{service})), err
}

func (w *watching) exec(ctx context.Context, service string, h compose.Hook) error {
	list, err := w.running(ctx, service)
	if err != nil {
		return err
	}
	call := []string{"exec", boolFlag("privileged", h.Privileged)}
	if h.User != "" {
		call = append(call, "--user", h.User)
	}
	if h.WorkingDir != "" {
		call = append(call, "--workdir", h.WorkingDir)
	}
	for _, e := range h.Env {
		call = append(call, "--env", e)
	}
	for _, c := range list {
		if err := w.lus(ctx, append(append(slices.Clone(call), c.ID), h.Cmd...)...); err != nil {
			return errs.New(errs.Conflict, "%s in %s: %w", strings.Join(h.Cmd, " "), c.name(), err)
		}
	}
	return nil
}

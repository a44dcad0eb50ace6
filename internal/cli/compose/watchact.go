package compose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/composefile"
	"lus/internal/model/compose"
)

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
		if err := w.hook(ctx, service, h); err != nil {
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

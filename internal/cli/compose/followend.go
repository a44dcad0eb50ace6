package compose

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lus/internal/model/compose"
)

// died says that a container ended, once all it wrote is shown, and whether that
// ends everything.
func (f *follower) died(ctx context.Context, e engineEvent) (bool, error) {
	c := f.follows[e.Actor.ID]
	if c == nil {
		c = &followed{name: e.Actor.Attributes["name"], service: e.service()}
		f.follows[e.Actor.ID] = c
	}
	if c.read != nil {
		select {
		case <-c.read:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	// Its next run may have begun, and have been shown, while this one's end was told.
	c.running, c.read, c.since = false, nil, after(e.at(), c.last)
	code, err := strconv.Atoi(e.Actor.Attributes["exitCode"])
	if err != nil {
		code = 0
	}
	again := f.comesBack(ctx, e.Actor.ID, e.at())
	if f.shown[c.service] {
		how := ""
		if again {
			how = " (restarting)"
		}
		_ = (&prefixed{out: f.out}).line(fmt.Appendf(nil, "%s exited with code %d%s\n", strings.TrimPrefix(c.name, f.req.Project.Name+"-"), code, how))
	}
	if c.restarting = again; again {
		return false, nil
	}
	o := f.flags
	if !f.counts(c.service) || !o.abort && o.codeFrom == "" && (!o.abortFailed || code == 0) {
		return false, nil
	}
	fmt.Fprintln(f.a.Err, "Aborting on container exit...")
	if err := f.stopAll(ctx, f.req.Project); err != nil {
		return true, err
	}
	f.code = code
	if o.codeFrom != "" && o.codeFrom != c.service {
		f.code, err = f.codeOf(ctx, o.codeFrom)
		return true, err
	}
	return true, nil
}

// comesBack says whether the container is started again after it ended at a moment,
// or was: by the time that we ask, its next run may be over too.
func (f *follower) comesBack(ctx context.Context, id string, at time.Time) bool {
	c, err := get[struct {
		State struct {
			Restarting, Running bool
			StartedAt           time.Time
		}
	}](ctx, f.a.daemon, "/containers/"+id+"/json")
	return err == nil && (c.State.Restarting || c.State.Running || c.State.StartedAt.After(at))
}

// codeOf is the exit code of a service's first container that is not 0.
func (f *follower) codeOf(ctx context.Context, service string) (int, error) {
	list, err := f.a.containers(ctx, f.req.Project.Name, true)
	if err != nil {
		return 0, err
	}
	for _, c := range lasting(named(list, []string{service})) {
		if code := c.exitCode(); code != 0 {
			return code, nil
		}
	}
	return 0, nil
}

func (f *follower) stopAll(ctx context.Context, p *compose.Project) error {
	req := &compose.StateRequest{Name: p.Name, Project: p, Timeout: f.req.Timeout, Parallel: f.a.parallel}
	for _, s := range p.Services {
		if len(f.req.Services) == 0 || f.holds(s.Name) {
			req.Services = append(req.Services, s.Name)
		}
	}
	list, err := f.a.containers(ctx, p.Name, true)
	if err != nil {
		return err
	}
	made := serviceNames(lasting(list))
	if req.Services = slices.DeleteFunc(req.Services, func(s string) bool { return !slices.Contains(made, s) }); len(req.Services) == 0 {
		return nil
	}
	return f.a.stream(ctx, "stop", req, f.a.printer())
}

// holds says that this up started a container of the service.
func (f *follower) holds(service string) bool {
	for _, c := range f.follows {
		if c.service == service {
			return true
		}
	}
	return false
}

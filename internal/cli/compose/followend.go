package compose

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
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
	if !f.counts(c.service) || !o.abort && (!o.abortFailed || code == 0) {
		return false, nil
	}
	fmt.Fprintln(f.a.Err, "Aborting on container exit...")
	if err := f.stopAll(ctx); err != nil {
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

// interrupted stops what this up started; who does not want to wait for that
// interrupts once more.
func (f *follower) interrupted(ctx context.Context) error {
	fmt.Fprintln(f.a.Err, "Stopping, once more Ctrl-C kills; containers are kept, remove them with `lus compose down`")
	again, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := f.stopAll(again)
	if again.Err() == nil {
		return err
	}
	services, err := f.made(ctx)
	if err != nil || len(services) == 0 {
		return err
	}
	return f.a.each(ctx, scope{project: f.req.Project.Name, named: services}, "kill", "Killed", nil)
}

func (f *follower) stopAll(ctx context.Context) error {
	services, err := f.made(ctx)
	if err != nil || len(services) == 0 {
		return err
	}
	p := f.req.Project
	req := &compose.StateRequest{Name: p.Name, Project: p, Services: services, Timeout: f.req.Timeout, Parallel: f.a.parallel}
	return f.a.stream(ctx, "stop", req, f.a.printer())
}

// made are the services with containers that this up is for: those that were named,
// or all, and what it started for them.
func (f *follower) made(ctx context.Context) ([]string, error) {
	list, err := f.a.containers(ctx, f.req.Project.Name, true)
	if err != nil {
		return nil, err
	}
	have := serviceNames(lasting(list))
	var out []string
	for _, s := range f.req.Project.Services {
		asked := len(f.req.Services) == 0 || slices.Contains(f.req.Services, s.Name)
		if (asked || f.holds(s.Name)) && slices.Contains(have, s.Name) {
			out = append(out, s.Name)
		}
	}
	return out, nil
}

// holds says that this up started a container of the service.
func (f *follower) holds(service string) bool {
	for _, c := range f.follows {
		if c.service == service && !c.before {
			return true
		}
	}
	return false
}

package compose

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// happened takes in one event; over says that it ends everything.
func (f *follower) happened(ctx context.Context, e engineEvent) (over bool, err error) {
	service := e.service()
	known := slices.ContainsFunc(f.req.Project.Services, func(s compose.Service) bool { return s.Name == service })
	if !known || e.Actor.Attributes[compose.LabelOneoff] == "True" || e.Actor.Attributes[compose.LabelHook] != "" {
		return false, nil
	}
	switch e.Action {
	case "start":
		f.started(ctx, e.Actor.ID, e.Actor.Attributes["name"], service)
	case "die":
		if f.follows[e.Actor.ID] == nil && !f.up {
			f.early = append(f.early, e)
			return false, nil
		}
		return f.died(ctx, e)
	}
	return false, nil
}

func (f *follower) started(ctx context.Context, id, name, service string) {
	c := f.follows[id]
	if c == nil {
		c = &followed{name: name, service: service, since: f.began}
		f.follows[id] = c
	}
	if c.running {
		return
	}
	c.running, c.restarting = true, false
	if !f.shown[service] {
		return
	}
	short := strings.TrimPrefix(name, f.req.Project.Name+"-")
	o := logOptions{follow: true, run: true, tail: "all", timestamps: f.flags.timestamps, from: c.since}
	w := &prefixed{out: f.out, prefix: f.prefix(short, service)}
	read := make(chan struct{})
	c.read = read
	f.going.Go(func() {
		defer close(read)
		var err error
		if c.last, err = f.a.logsOf(ctx, id, o, w); err != nil && ctx.Err() == nil && !errs.Is(err, errs.NotFound) {
			fmt.Fprintf(f.a.Err, "%s: %v\n", short, err)
		}
	})
}

func (f *follower) prefix(name, service string) string {
	if f.flags.noPrefix {
		return ""
	}
	text := fmt.Sprintf("%-*s  | ", f.width, name)
	if f.flags.noColor || !f.a.colored() {
		return text
	}
	return colour(slices.Index(f.req.Project.Known, service), text)
}

// colour is text in the i-th of six colours.
func colour(i int, text string) string {
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", 31+(i+6)%6, text)
}

// catchUp takes in the containers that up left as they were, and those that it
// started and of which no event has come yet: they may have ended already, and
// what they wrote is to be shown all the same.
func (f *follower) catchUp(ctx context.Context) (over bool, err error) {
	list, err := f.a.containers(ctx, f.req.Project.Name, true)
	if err != nil {
		return false, err
	}
	for _, e := range f.early {
		i := slices.IndexFunc(list, func(c summary) bool { return c.ID == e.Actor.ID })
		if i < 0 || list[i].State != "exited" {
			continue // it was replaced, or started again
		}
		f.follows[e.Actor.ID] = &followed{name: list[i].name(), service: e.service()}
		if over, err := f.died(ctx, e); over || err != nil {
			return over, err
		}
	}
	for _, c := range lasting(list) {
		if f.follows[c.ID] != nil || !slices.ContainsFunc(f.req.Project.Services, func(s compose.Service) bool { return s.Name == c.service() }) {
			continue
		}
		if c.State == "created" || c.State == "dead" {
			continue
		}
		startedAt, err := f.a.startOf(ctx, c.ID)
		if err != nil {
			return false, err
		}
		before := startedAt.Before(f.began)
		if before && c.State == "exited" {
			continue
		}
		f.started(ctx, c.ID, c.name(), c.service())
		f.follows[c.ID].before = before
	}
	return false, nil
}

// startOf is when a container was started last; zero where it never was, or is
// gone.
func (a *app) startOf(ctx context.Context, id string) (time.Time, error) {
	c, err := get[struct {
		State struct{ StartedAt time.Time }
	}](ctx, a.daemon, "/containers/"+id+"/json")
	if errs.Is(err, errs.NotFound) {
		return time.Time{}, nil
	}
	return c.State.StartedAt, err
}

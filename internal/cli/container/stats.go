package container

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/output"
	"lus/internal/client"
	"lus/internal/model/container"
	"lus/internal/model/event"
)

// redraw is the pause between two pictures of the table.
const redraw = 500 * time.Millisecond

func statsCommand() command.Command {
	return command.Command{
		Name: "stats", Args: "[CONTAINER...]", Short: "Show what containers use, as it changes",
		Example: "stats --no-stream web", Min: 0, Max: -1,
		Flags: func(e *command.Env, f *pflag.FlagSet) command.Do {
			o := &statsFlags{e: e}
			f.BoolVarP(&o.all, "all", "a", false, "Also those that do not run")
			f.StringVar(&o.format, "format", "", "Print by a Go template, table or json")
			f.BoolVar(&o.once, "no-stream", false, "Print once and end")
			f.BoolVar(&o.noTrunc, "no-trunc", false, "Print whole ids")
			return func(ctx context.Context, args []string) error {
				if o.format == "" {
					o.format = e.Config().StatsFormat
				}
				if o.once {
					return o.now(ctx, args)
				}
				return o.live(ctx, args)
			}
		},
	}
}

// statsFlags are the flags of stats, and what was read.
type statsFlags struct {
	e                  *command.Env
	all, once, noTrunc bool
	format             string

	mu     sync.Mutex
	rows   []*usage
	failed error
}

// chosen are the containers that were named, or all that there are.
func (o *statsFlags) chosen(ctx context.Context, args []string) ([]string, error) {
	if len(args) > 0 {
		return args, nil
	}
	found, err := list(ctx, o.e, nil, o.all)
	var ids []string
	for _, c := range found {
		ids = append(ids, c.ID)
	}
	return ids, err
}

// now asks for one sample of each container and prints the table once.
func (o *statsFlags) now(ctx context.Context, args []string) error {
	names, err := o.chosen(ctx, args)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	rows := make([]*usage, len(names))
	failures := make([]error, len(names))
	for i, name := range names {
		rows[i] = o.row(name)
		wg.Go(func() {
			q := url.Values{"stream": {"0"}}
			failures[i] = o.e.Client.Call(ctx, client.Request{Method: "GET", Path: path(name, "stats"), Query: q}, &rows[i].s)
		})
	}
	wg.Wait()
	for i, err := range failures {
		if err != nil && (len(args) > 0 || !errs.Is(err, errs.NotFound)) {
			return err
		}
		if err != nil {
			rows[i] = nil // it went while the others were asked
		}
	}
	o.rows = slices.DeleteFunc(rows, func(u *usage) bool { return u == nil })
	text, err := o.table()
	if err == nil {
		_, err = o.e.Out.Write(text)
	}
	return err
}

func (o *statsFlags) row(name string) *usage {
	u := &usage{asked: name, trunc: !o.noTrunc}
	if len(name) == 64 && u.trunc {
		u.asked = name[:12]
	}
	return u
}

// live redraws the table until the user ends it, or nothing named is left.
func (o *statsFlags) live(ctx context.Context, args []string) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	begin := func(name string) {
		if u := o.add(name); u != nil {
			wg.Go(func() { o.follow(ctx, u, name, len(args) > 0) })
		}
	}
	if len(args) == 0 { // before the list, so that none is missed between
		events, err := o.watch(ctx)
		if err != nil {
			return err
		}
		wg.Go(func() { o.comeAndGo(events, begin) })
		defer events.Body.Close()
		defer cancel() // closes what the reader waits for
	}
	names, err := o.chosen(ctx, args)
	if err != nil {
		return err
	}
	for _, name := range names {
		begin(name)
	}
	fmt.Fprint(o.e.Out, "\x1b[2J")
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		o.mu.Lock()
		failed, left := o.failed, len(o.rows)
		o.mu.Unlock()
		if failed != nil || len(args) > 0 && left == 0 {
			return failed
		}
		if err := o.draw(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *statsFlags) add(name string) *usage {
	o.mu.Lock()
	defer o.mu.Unlock()
	u := o.row(name)
	if slices.ContainsFunc(o.rows, func(have *usage) bool { return have.asked == u.asked }) {
		return nil
	}
	o.rows = append(o.rows, u)
	return u
}

// drop takes the line of a container away.
func (o *statsFlags) drop(name string) {
	asked := o.row(name).asked
	o.remove(func(u *usage) bool { return u.asked == asked })
}

func (o *statsFlags) remove(which func(*usage) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rows = slices.DeleteFunc(o.rows, which)
}

// follow takes the samples of one container until it or ctx is gone.
func (o *statsFlags) follow(ctx context.Context, u *usage, name string, named bool) {
	// Its own line, for the container may have come back and have another.
	defer o.remove(func(other *usage) bool { return other == u })
	resp, err := o.e.Client.Send(ctx, client.Request{Method: "GET", Path: path(name, "stats"), Query: url.Values{"stream": {"1"}}})
	if err != nil {
		if named || !errs.Is(err, errs.NotFound) {
			o.fail(ctx, err)
		}
		return
	}
	defer resp.Body.Close()
	news := client.NewMessages(resp.Body)
	for {
		var s container.Stats
		if news.Next(&s) != nil {
			return
		}
		o.mu.Lock()
		u.s = s
		o.mu.Unlock()
	}
}

func (o *statsFlags) fail(ctx context.Context, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil && ctx.Err() == nil {
		o.failed = err
	}
}

// watch asks to be told of containers that come and go.
func (o *statsFlags) watch(ctx context.Context) (*client.Response, error) {
	q, err := output.Filters([]string{"type=container", "event=create", "event=start", "event=die", "event=destroy"})
	if err != nil {
		return nil, err
	}
	return o.e.Client.Send(ctx, client.Request{Method: "GET", Path: "/events", Query: q})
}

func (o *statsFlags) comeAndGo(events *client.Response, begin func(id string)) {
	news := client.NewMessages(events.Body)
	for {
		var ev event.Event
		if news.Next(&ev) != nil {
			return
		}
		switch {
		case ev.Action == "start" || ev.Action == "create" && o.all:
			begin(ev.Actor.ID)
		case ev.Action == "destroy" || ev.Action == "die" && !o.all:
			o.drop(ev.Actor.ID)
		}
	}
}

// draw writes the table over the one before: from the upper left corner, each
// line to its end, and what was below goes.
func (o *statsFlags) draw() error {
	text, err := o.table()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("\x1b[H")
	for line := range strings.Lines(string(text)) {
		b.WriteString(strings.TrimSuffix(line, "\n") + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	_, err = o.e.Out.Write(b.Bytes())
	return err
}

// table is the table as it is now. A container whose first sample is still on
// its way has no line yet.
func (o *statsFlags) table() ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var known []usage
	for _, u := range o.rows {
		if u.s.ID != "" {
			known = append(known, *u)
		}
	}
	var b bytes.Buffer
	if err := output.List(&b, o.format, usageColumns, usageHeaders(), known); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

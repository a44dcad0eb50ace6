package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/base/errs"
)

type logOptions struct {
	follow, timestamps, noPrefix, noColor bool
	run                                   bool // follow ends with the run under way
	tail, since, until                    string
	index                                 int
	from                                  time.Time // instead of since; zero: none
}

func logsCommand() command {
	return command{
		name: "logs", dry: true, args: "[SERVICE...]", short: "Print what the containers wrote",
		example: "lus compose logs -f --tail 20 web",
		flags: func(a *app, f *pflag.FlagSet) func(context.Context, []string) error {
			var o logOptions
			f.BoolVarP(&o.follow, "follow", "f", false, "go on printing as it comes")
			f.BoolVarP(&o.timestamps, "timestamps", "t", false, "print the time of each line")
			f.BoolVar(&o.noPrefix, "no-log-prefix", false, "leave out the containers' names")
			f.BoolVar(&o.noColor, "no-color", false, "print without colours")
			f.StringVarP(&o.tail, "tail", "n", "all", "how many lines from the end of each container")
			f.IntVar(&o.index, "index", 0, "which of the service's containers (default: all)")
			f.StringVar(&o.until, "until", "", "what came before a time (2026-01-02T13:23:37Z), or before 42m ago")
			f.StringVar(&o.since, "since", "", "what came since a time (2026-01-02T13:23:37Z) or for a duration (42m)")
			return func(ctx context.Context, services []string) error {
				if o.index != 0 && len(services) != 1 {
					return wrongUse("logs", "--index is for one service: name it")
				}
				for flag, value := range map[string]string{"since": o.since, "until": o.until} {
					if _, err := parseTime("--"+flag, value); value != "" && err != nil {
						return err
					}
				}
				name, _, err := a.known(ctx, services, false)
				if err != nil {
					return err
				}
				return a.logs(ctx, name, services, o)
			}
		},
	}
}

// logs prints the output of a project's containers, each line behind its
// container's name.
func (a *app) logs(ctx context.Context, project string, services []string, o logOptions) error {
	list, err := a.containers(ctx, project, true)
	if err != nil {
		return err
	}
	if list = numbered(named(list, services), o.index); o.index != 0 && len(list) == 0 {
		return noContainer(services[0], o.index)
	}
	width := 0
	for _, c := range list {
		width = max(width, len(label(c, project)))
	}
	l := &logReader{a: a, o: o, project: project, out: &shared{w: a.Out}, width: width}
	if o.follow {
		return l.following(ctx, list, services)
	}
	var wg sync.WaitGroup
	failed := make([]error, len(list))
	for i, c := range list {
		w := l.writer(c)
		wg.Go(func() { _, failed[i] = a.logsOf(ctx, c.ID, o, w) })
	}
	wg.Wait()
	return errors.Join(failed...)
}

// logReader prints the output of several containers.
type logReader struct {
	a       *app
	o       logOptions
	project string
	out     *shared
	width   int
	seen    int // containers so far: each has the next colour
}

// writer puts a container's name before its lines.
func (l *logReader) writer(c summary) *prefixed {
	l.seen++
	w := &prefixed{out: l.out}
	if !l.o.noPrefix {
		w.prefix = fmt.Sprintf("%-*s  | ", l.width, label(c, l.project))
		if !l.o.noColor && l.a.colored() {
			w.prefix = colour(l.seen, w.prefix)
		}
	}
	return w
}

// following prints what comes until all containers have ended: those that start
// meanwhile, or start again, too.
func (l *logReader) following(ctx context.Context, list []summary, services []string) error {
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	type end struct {
		id   string
		last time.Time // of what was printed
		err  error
	}
	ends, starts, over := make(chan end), make(chan engineEvent), make(chan error, 1)
	active, until := map[string]bool{}, map[string]time.Time{}
	again := map[string]summary{} // started before their last output was read
	read := func(c summary) {
		active[c.ID] = true
		o, w := l.o, l.writer(c)
		o.from = until[c.ID] // what it wrote before it started again was printed
		if !o.from.IsZero() {
			o.since, o.tail = "", "all"
		}
		readers.Go(func() {
			last, err := l.a.logsOf(ctx, c.ID, o, w)
			select {
			case ends <- end{c.ID, last, err}:
			case <-ctx.Done():
			}
		})
	}
	go func() {
		over <- l.a.events(ctx, l.project, url.Values{"since": {seconds(time.Now())}}, func(e engineEvent) error {
			if e.Action != "start" && e.Action != "die" {
				return nil
			}
			select {
			case starts <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	for _, c := range list {
		read(c)
	}
	for len(active) > 0 {
		select {
		case e := <-ends:
			delete(active, e.id)
			if until[e.id].IsZero() { // it had ended before anybody listened
				until[e.id] = time.Now()
			}
			until[e.id] = after(until[e.id], e.last)
			if c, ok := again[e.id]; ok {
				delete(again, e.id)
				read(c)
			}
			if e.err != nil && !errs.Is(e.err, errs.NotFound) {
				return e.err
			}
		case e := <-starts:
			c := summary{ID: e.Actor.ID, Names: []string{e.Actor.Attributes["name"]}, Labels: e.Actor.Attributes}
			switch {
			case len(lasting(numbered(named([]summary{c}, services), l.o.index))) == 0:
			case e.Action == "die":
				until[c.ID] = after(e.at(), until[c.ID])
			case active[c.ID] && !until[c.ID].IsZero():
				again[c.ID] = c
			case !active[c.ID]:
				read(c)
			}
		case err := <-over:
			if err == nil {
				err = errs.New(errs.Unavailable, "the daemon went away; the containers go on")
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// label is the container's name without the project's.
func label(c summary, project string) string {
	name := c.name()
	if len(name) > len(project)+1 && name[:len(project)+1] == project+"-" {
		return name[len(project)+1:]
	}
	return name
}

// after is the later of a moment and that behind the last line printed.
func after(at, last time.Time) time.Time {
	if last.IsZero() || last.Before(at) {
		return at
	}
	return last.Add(time.Nanosecond)
}

// logsOf copies what a container wrote, and tells of what time the last of it is.
func (a *app) logsOf(ctx context.Context, id string, o logOptions, w *prefixed) (last time.Time, err error) {
	q := url.Values{"stdout": {"1"}, "stderr": {"1"}, "timestamps": {"1"}, "tail": {o.tail}}
	for key, on := range map[string]bool{"follow": o.follow, "run": o.run} {
		if on {
			q.Set(key, "1")
		}
	}
	for key, text := range map[string]string{"since": o.since, "until": o.until} {
		if text == "" {
			continue
		}
		at, err := parseTime("--"+key, text)
		if err != nil {
			return last, err
		}
		q.Set(key, at)
	}
	if !o.from.IsZero() {
		q.Set("since", seconds(o.from))
	}
	info, err := get[struct{ Config struct{ Tty bool } }](ctx, a.daemon, "/containers/"+id+"/json")
	if err != nil {
		return last, err
	}
	body, err := a.daemon.Do(ctx, "GET", "/containers/"+id+"/logs?"+q.Encode(), nil)
	if err != nil {
		return last, err
	}
	defer body.Close()
	stop := context.AfterFunc(ctx, func() { _ = body.Close() })
	defer stop()
	out, errOut := &stamped{w: w, keep: o.timestamps}, &stamped{w: w, keep: o.timestamps}
	if info.Config.Tty {
		_, err = io.Copy(out, body)
	} else {
		err = demux(body, out, errOut)
	}
	w.flush()
	if last = out.last; errOut.last.After(last) {
		last = errOut.last
	}
	if ctx.Err() != nil {
		return last, ctx.Err()
	}
	return last, err
}

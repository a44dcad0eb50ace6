package compose

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"lus/internal/client"
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
				s, err := a.scope(ctx, services)
				if err != nil {
					return err
				}
				return a.logs(ctx, s, o)
			}
		},
	}
}

// logs prints the output of a project's containers, each line behind its
// container's name.
func (a *app) logs(ctx context.Context, s scope, o logOptions) error {
	began := time.Now()
	list, err := a.containers(ctx, s.project, true)
	if err != nil {
		return err
	}
	if list = numbered(lasting(s.of(list)), o.index); o.index != 0 && len(list) == 0 {
		return noContainer(s.named[0], o.index)
	}
	width := 0
	for _, c := range list {
		width = max(width, len(label(c, s.project)))
	}
	l := &logReader{a: a, o: o, scope: s, out: &shared{w: a.Out}, width: width}
	if o.follow {
		return l.following(ctx, list, began)
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
	a     *app
	o     logOptions
	scope scope
	out   *shared
	width int
	seen  int // containers so far: each has the next colour
}

// writer puts a container's name before its lines.
func (l *logReader) writer(c summary) *prefixed {
	l.seen++
	w := &prefixed{out: l.out}
	if !l.o.noPrefix {
		w.prefix = fmt.Sprintf("%-*s  | ", l.width, label(c, l.scope.project))
		if !l.o.noColor && l.a.colored() {
			w.prefix = colour(l.seen, w.prefix)
		}
	}
	return w
}

// label is the container's name without the project's.
func label(c summary, project string) string {
	name := c.name()
	if len(name) > len(project)+1 && name[:len(project)+1] == project+"-" {
		return name[len(project)+1:]
	}
	return name
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
	// A line that one of the two has begun does not go on with the other's.
	second := &prefixed{out: w.out, prefix: w.prefix}
	out, errOut := &stamped{w: w, keep: o.timestamps}, &stamped{w: second, keep: o.timestamps}
	if info.Config.Tty {
		_, err = io.Copy(out, body)
	} else {
		err = client.Demultiplex(out, errOut, bufio.NewReaderSize(body, 64<<10))
	}
	w.flush()
	second.flush()
	if last = out.last; errOut.last.After(last) {
		last = errOut.last
	}
	if ctx.Err() != nil {
		return last, ctx.Err()
	}
	return last, err
}

package compose

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"lus/internal/base/errs"
	"lus/internal/composefile"
	"lus/internal/model/compose"
)

// followFlags say what a foreground up shows, and when it ends.
type followFlags struct {
	abort, abortFailed, deps, noColor, noPrefix, timestamps bool
	codeFrom                                                string
	attach, noAttach                                        []string
}

// follower shows what the containers of an up write, from the moment each starts.
type follower struct {
	a       *app
	req     *compose.UpRequest
	flags   *followFlags
	began   time.Time
	shown   map[string]bool // services
	out     *shared
	width   int
	readers sync.WaitGroup

	follows map[string]*followed // by container id
	early   []engineEvent        // ends of containers that ran before and that up may have replaced
	up      bool                 // everything was started
	code    int                  // what the program ends with
}

// followed is one container that runs, or did.
type followed struct {
	name, service string
	running       bool
	restarting    bool          // its policy brings it back
	since         time.Time     // what it wrote before was shown, or is not wanted
	last          time.Time     // of what was shown last; to be read when read is closed
	read          chan struct{} // closed when its output has ended; nil: not shown
}

// foreground brings the project up and shows what it writes until its containers
// have ended, one of them ends it all, or Ctrl-C stops them.
func (a *app) foreground(ctx context.Context, req *compose.UpRequest, l *composefile.Loaded, o *followFlags) error {
	a.attached = true // the containers write to the terminal, too
	f, err := a.newFollower(req, o)
	if err != nil {
		return err
	}
	err = f.run(ctx)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(a.Err, "Stopping; containers are kept, remove them with `lus compose down`")
		again, cancel := signal.NotifyContext(context.WithoutCancel(ctx), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		if err := f.stopAll(again, l.Project); err != nil {
			return err
		}
		return ctx.Err()
	case err != nil:
		return err
	case f.code != 0:
		return exitCode(f.code)
	}
	return nil
}

func (a *app) newFollower(req *compose.UpRequest, o *followFlags) (*follower, error) {
	f := &follower{a: a, req: req, flags: o, began: time.Now(), shown: map[string]bool{}, out: &shared{w: a.Out}, follows: map[string]*followed{}}
	all := map[string]bool{}
	for _, s := range req.Project.Services {
		all[s.Name] = true
		asked := len(req.Services) == 0 || o.deps || slices.Contains(req.Services, s.Name)
		switch {
		case slices.Contains(o.noAttach, s.Name):
		case len(o.attach) > 0:
			f.shown[s.Name] = slices.Contains(o.attach, s.Name)
		case asked && !s.Quiet:
			f.shown[s.Name] = true
		}
		if f.shown[s.Name] {
			name := s.ContainerName
			if name == "" {
				name = s.Name + "-" + strconv.Itoa(max(1, s.Scale))
			}
			f.width = max(f.width, len(name))
		}
	}
	for _, name := range append(slices.Concat(o.attach, o.noAttach), o.codeFrom) {
		if name != "" && !all[name] {
			return nil, errs.New(errs.NotFound, "no such service: %s", name)
		}
	}
	return f, nil
}

// run returns when there is nothing more to show.
func (f *follower) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer f.readers.Wait()
	defer cancel()
	events, ended, done := make(chan engineEvent), make(chan error, 1), make(chan error, 1)
	go func() {
		ended <- f.a.events(ctx, f.req.Project.Name, url.Values{"since": {seconds(f.began)}}, func(e engineEvent) error {
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	go func() { done <- f.a.up(ctx, f.req) }()
	for {
		over := false
		var err error
		select {
		case e := <-events:
			over, err = f.happened(ctx, e)
		case err := <-done:
			if err != nil {
				return err
			}
			f.up, done = true, nil
			if over, err := f.catchUp(ctx); over || err != nil {
				return err
			}
		case err := <-ended:
			if err == nil {
				err = errs.New(errs.Unavailable, "the daemon went away; the containers go on")
			}
			return err
		}
		if err != nil || over || f.up && f.idle() {
			return err
		}
	}
}

// idle says that no container runs any more.
func (f *follower) idle() bool {
	for _, c := range f.follows {
		if (c.running || c.restarting) && f.counts(c.service) {
			return false
		}
	}
	return true
}

// counts says that the end of a service's containers is waited for: of those that
// are shown, or of all where none is.
func (f *follower) counts(service string) bool {
	for _, shown := range f.shown {
		if shown {
			return f.shown[service] || service == f.flags.codeFrom
		}
	}
	return true
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
		switch c.State {
		case "created", "dead":
			continue
		case "exited":
			startedAt, err := f.a.startOf(ctx, c.ID)
			if err != nil {
				return false, err
			}
			if startedAt.Before(f.began) {
				continue
			}
		}
		f.started(ctx, c.ID, c.name(), c.service())
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
	w := &prefixed{out: f.out, prefix: f.prefix(short)}
	read := make(chan struct{})
	c.read = read
	f.readers.Go(func() {
		defer close(read)
		var err error
		if c.last, err = f.a.logsOf(ctx, id, o, w); err != nil && ctx.Err() == nil && !errs.Is(err, errs.NotFound) {
			fmt.Fprintf(f.a.Err, "%s: %v\n", short, err)
		}
	})
}

func (f *follower) prefix(name string) string {
	if f.flags.noPrefix {
		return ""
	}
	text := fmt.Sprintf("%-*s  | ", f.width, name)
	if f.flags.noColor || !f.a.colored() {
		return text
	}
	return colour(slices.Index(f.req.Project.Known, strings.TrimRight(name, "-0123456789")), text)
}

// colour is text in the i-th of six colours.
func colour(i int, text string) string {
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", 31+(i+6)%6, text)
}

// upAndWatch is a foreground up that follows changes of the sources too.
func (a *app) upAndWatch(ctx context.Context, req *compose.UpRequest, l *composefile.Loaded) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		if err := a.watch(ctx, l, watchFlags{noUp: true}); err != nil && !errors.Is(err, context.Canceled) {
			cancel(err)
		}
	})
	err := a.foreground(ctx, req, l, &followFlags{})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	cancel(nil)
	return err
}

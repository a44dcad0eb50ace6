package compose

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"lus/internal/base/errs"
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
	a     *app
	req   *compose.UpRequest
	flags *followFlags
	began time.Time
	shown map[string]bool // services
	out   *shared
	width int
	going sync.WaitGroup

	follows map[string]*followed // by container id
	early   []engineEvent        // ends of containers that ran before and that up may have replaced
	up      bool                 // everything was started
	whenUp  func()               // is called then
	code    int                  // what the program ends with
}

// followed is one container that runs, or did.
type followed struct {
	name, service string
	running       bool
	before        bool          // it ran already, and up left it as it was
	restarting    bool          // its policy brings it back
	since         time.Time     // what it wrote before was shown, or is not wanted
	last          time.Time     // of what was shown last; to be read when read is closed
	read          chan struct{} // closed when its output has ended; nil: not shown
}

// foreground brings the project up and shows what it writes until its containers
// have ended, one of them ends it all, or Ctrl-C stops them. It calls started once
// everything was.
func (a *app) foreground(ctx context.Context, req *compose.UpRequest, o *followFlags, started func()) error {
	a.attached = true // the containers write to the terminal, too
	f, err := a.newFollower(req, o)
	if err != nil {
		return err
	}
	f.whenUp = started
	err = f.run(ctx)
	switch {
	case ctx.Err() != nil:
		if err := f.interrupted(context.WithoutCancel(ctx)); err != nil {
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
	defer f.going.Wait()
	defer cancel()
	events, ended, done := make(chan engineEvent), make(chan error, 1), make(chan error, 1)
	f.going.Go(func() {
		ended <- f.a.events(ctx, f.req.Project.Name, url.Values{"since": {seconds(f.began)}}, func(e engineEvent) error {
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	f.going.Go(func() { done <- f.a.up(ctx, f.req) })
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
			f.whenUp()
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

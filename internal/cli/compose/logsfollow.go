package compose

import (
	"context"
	"net/url"
	"sync"
	"time"

	"lus/internal/base/errs"
)

// logsFollower prints what containers write until all have ended: those that start
// meanwhile, or start again, too.
type logsFollower struct {
	*logReader
	readers sync.WaitGroup
	ends    chan logEnd
	active  map[string]bool      // by container id
	until   map[string]time.Time // what a container wrote before is printed
	again   map[string]summary   // started before their last output was read
}

// logEnd is the end of a container's output.
type logEnd struct {
	id   string
	last time.Time // of what was printed
	err  error
}

// following prints what comes of the containers in list, and of those that started
// since that was made, which began at a moment.
func (l *logReader) following(ctx context.Context, list []summary, began time.Time) error {
	ctx, cancel := context.WithCancel(ctx)
	f := &logsFollower{
		logReader: l, ends: make(chan logEnd),
		active: map[string]bool{}, until: map[string]time.Time{}, again: map[string]summary{},
	}
	defer f.readers.Wait()
	defer cancel()
	news, over := make(chan engineEvent), make(chan error, 1)
	f.readers.Go(func() { over <- f.listen(ctx, began, news) })
	for _, c := range list {
		f.read(ctx, c)
	}
	for len(f.active) > 0 {
		select {
		case e := <-f.ends:
			if err := f.ended(ctx, e); err != nil {
				return err
			}
		case e := <-news:
			f.happened(ctx, e)
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

// listen hands on when containers of the project start and end.
func (f *logsFollower) listen(ctx context.Context, began time.Time, news chan<- engineEvent) error {
	return f.a.events(ctx, f.scope.project, url.Values{"since": {seconds(began)}}, func(e engineEvent) error {
		if e.Action != "start" && e.Action != "die" {
			return nil
		}
		select {
		case news <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

func (f *logsFollower) read(ctx context.Context, c summary) {
	f.active[c.ID] = true
	o, w := f.o, f.writer(c)
	o.from = f.until[c.ID] // what it wrote before it started again was printed
	if !o.from.IsZero() {
		o.since, o.tail = "", "all"
	}
	f.readers.Go(func() {
		last, err := f.a.logsOf(ctx, c.ID, o, w)
		select {
		case f.ends <- logEnd{c.ID, last, err}:
		case <-ctx.Done():
		}
	})
}

// ended takes in the end of a container's output.
func (f *logsFollower) ended(ctx context.Context, e logEnd) error {
	delete(f.active, e.id)
	if f.until[e.id].IsZero() { // it had ended before anybody listened
		f.until[e.id] = time.Now()
	}
	f.until[e.id] = after(f.until[e.id], e.last)
	if c, ok := f.again[e.id]; ok {
		delete(f.again, e.id)
		f.read(ctx, c)
	}
	if e.err != nil && !errs.Is(e.err, errs.NotFound) {
		return e.err
	}
	return nil
}

// happened takes in the start or the end of a container.
func (f *logsFollower) happened(ctx context.Context, e engineEvent) {
	c := summary{ID: e.Actor.ID, Names: []string{e.Actor.Attributes["name"]}, Labels: e.Actor.Attributes}
	switch {
	case len(lasting(numbered(f.scope.of([]summary{c}), f.o.index))) == 0:
	case e.Action == "die":
		f.until[c.ID] = after(e.at(), f.until[c.ID])
	case f.active[c.ID] && !f.until[c.ID].IsZero():
		f.again[c.ID] = c
	case !f.active[c.ID]:
		f.read(ctx, c)
	}
}

// after is the later of a moment and that behind the last line printed.
func after(at, last time.Time) time.Time {
	if last.IsZero() || last.Before(at) {
		return at
	}
	return last.Add(time.Nanosecond)
}

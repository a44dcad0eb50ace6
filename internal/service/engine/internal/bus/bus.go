// Package bus hands every event to whoever asked for it, in order, and
// remembers the last ones for those who come late.
package bus

import (
	"context"
	"strings"
	"sync"
	"time"

	"lus/internal/model/event"
	"lus/internal/model/filter"
)

const (
	history = 1024 // events remembered
	backlog = 4096 // events a slow subscriber may be behind before it is cut off
)

// Bus is a bus. The zero value is ready for use.
type Bus struct {
	mu   sync.Mutex
	past []event.Event // a ring once full
	next int
	subs map[*sub]struct{}
}

type sub struct {
	want func(event.Event) bool
	ch   chan event.Event
}

// Publish hands e to the subscribers. It never waits for one.
func (b *Bus) Publish(e event.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.past) < history {
		b.past = append(b.past, e)
	} else {
		b.past[b.next] = e
		b.next = (b.next + 1) % history
	}
	for s := range b.subs {
		if !s.want(e) {
			continue
		}
		select {
		case s.ch <- e:
		default: // too slow: an end is better than a hole
			delete(b.subs, s)
			close(s.ch)
		}
	}
}

// Subscribe gives the events that match f: those remembered since then, where
// it is not zero, and what comes until ctx ends or until is reached. The
// channel is closed at the end.
func (b *Bus) Subscribe(ctx context.Context, since, until time.Time, f filter.Filters) <-chan event.Event {
	s := &sub{ch: make(chan event.Event, backlog), want: func(e event.Event) bool {
		return Match(e, f) && (until.IsZero() || e.TimeNano <= until.UnixNano())
	}}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !since.IsZero() {
		for i := range b.past {
			if e := b.past[(b.next+i)%len(b.past)]; e.TimeNano >= since.UnixNano() && s.want(e) {
				s.ch <- e // history < backlog: there is room
			}
		}
	}
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		context.AfterFunc(ctx, cancel)
	}
	if ctx.Err() != nil {
		close(s.ch)
		return s.ch
	}
	if b.subs == nil {
		b.subs = map[*sub]struct{}{}
	}
	b.subs[s] = struct{}{}
	context.AfterFunc(ctx, func() { b.drop(s) })
	return s.ch
}

func (b *Bus) drop(s *sub) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.subs[s]; ok {
		delete(b.subs, s)
		close(s.ch)
	}
}

// Match reports whether e passes Docker's filters for events.
func Match(e event.Event, f filter.Filters) bool {
	attr := e.Actor.Attributes
	is := func(kind string) func(string) bool {
		return func(want string) bool {
			return e.Type == kind && (e.Actor.ID == want || attr["name"] == want || len(want) >= 4 && strings.HasPrefix(e.Actor.ID, want))
		}
	}
	return f.Match("type", func(w string) bool { return e.Type == w }) &&
		f.Match("event", func(w string) bool { return e.Action == w || strings.HasPrefix(e.Action, w+":") }) &&
		f.Match("container", is("container")) &&
		f.Match("network", func(w string) bool { return is("network")(w) || e.Type == "container" && attr["network"] == w }) &&
		f.Match("volume", is("volume")) &&
		f.Match("image", func(w string) bool {
			image := e.Actor.ID
			if e.Type == "container" {
				image = attr["image"]
			}
			return image == w || attr["name"] == w && e.Type == "image" || strings.TrimSuffix(image, ":latest") == w
		}) &&
		f.Match("daemon", is("daemon")) &&
		f.Match("scope", func(w string) bool { return e.Scope == w }) &&
		All(f["label"], func(w string) bool { return Label(attr, w) })
}

// Label reports whether labels hold want: "key" or "key=value".
func Label(labels map[string]string, want string) bool {
	key, value, hasValue := strings.Cut(want, "=")
	got, ok := labels[key]
	return ok && (!hasValue || got == value)
}

// All reports whether every one of wants is ok: labels are joined by and,
// unlike the other filters.
func All(wants []string, ok func(string) bool) bool {
	for _, w := range wants {
		if !ok(w) {
			return false
		}
	}
	return true
}

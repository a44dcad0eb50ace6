package bus_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"lus/internal/model/event"
	"lus/internal/model/filter"
	"lus/internal/service/engine/internal/bus"
)

func ev(kind, action, id string, attr map[string]string) event.Event {
	return event.New(kind, action, id, attr, time.Now())
}

func TestSubscribersGetWhatTheyAskedFor(t *testing.T) {
	var b bus.Bus
	ctx, cancel := context.WithCancel(context.Background())
	all := b.Subscribe(ctx, time.Time{}, time.Time{}, nil)
	dies := b.Subscribe(ctx, time.Time{}, time.Time{}, filter.Filters{"event": {"die"}, "container": {"web"}})
	b.Publish(ev("container", "start", "abc123", map[string]string{"name": "web"}))
	b.Publish(ev("container", "die", "abc123", map[string]string{"name": "web"}))
	b.Publish(ev("container", "die", "def456", map[string]string{"name": "db"}))
	cancel()
	for name, c := range map[string]struct {
		ch   <-chan event.Event
		want int
	}{"all": {all, 3}, "dies": {dies, 1}} {
		n := 0
		for range c.ch { // ends, because ctx did
			n++
		}
		if n != c.want {
			t.Errorf("%s: %d events, want %d", name, n, c.want)
		}
	}
}

func TestHistoryIsBoundedAndInOrder(t *testing.T) {
	var b bus.Bus
	begin := time.Now()
	for i := range 3000 {
		b.Publish(ev("volume", "create", strconv.Itoa(i), nil))
	}
	last := -1
	n := 0
	for e := range b.Subscribe(context.Background(), begin, time.Now(), nil) {
		i, _ := strconv.Atoi(e.Actor.ID)
		if i <= last {
			t.Fatalf("%d after %d", i, last)
		}
		last, n = i, n+1
	}
	if last != 2999 || n == 0 || n > 2000 {
		t.Fatalf("%d events, last %d", n, last)
	}
}

func TestASlowSubscriberIsCutOffAndHoldsUpNobody(t *testing.T) {
	var b bus.Bus
	ch := b.Subscribe(context.Background(), time.Time{}, time.Time{}, nil)
	for i := range 10000 {
		b.Publish(ev("volume", "create", strconv.Itoa(i), nil))
	}
	n := 0
	for e := range ch {
		if e.Actor.ID != strconv.Itoa(n) {
			t.Fatalf("a hole: %s at %d", e.Actor.ID, n)
		}
		n++
	}
	if n == 10000 {
		t.Fatal("a backlog without bound")
	}
}

func TestMatch(t *testing.T) {
	e := ev("container", "health_status: healthy", "abcdef0123456789", map[string]string{"name": "web", "image": "nginx:latest", "tier": "front"})
	for _, c := range []struct {
		f    filter.Filters
		want bool
	}{
		{nil, true},
		{filter.Filters{"type": {"container"}}, true},
		{filter.Filters{"type": {"network", "container"}}, true},
		{filter.Filters{"type": {"network"}}, false},
		{filter.Filters{"event": {"health_status"}}, true},
		{filter.Filters{"event": {"health"}}, false},
		{filter.Filters{"container": {"abcdef"}}, true},
		{filter.Filters{"container": {"we"}}, false},
		{filter.Filters{"image": {"nginx"}}, true},
		{filter.Filters{"label": {"tier=front"}}, true},
		{filter.Filters{"label": {"tier=front", "x"}}, false},
		{filter.Filters{"label": {"tier=back"}}, false},
	} {
		if bus.Match(e, c.f) != c.want {
			t.Errorf("%v: %v", c.f, !c.want)
		}
	}
}

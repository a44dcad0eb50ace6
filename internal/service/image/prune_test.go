package image_test

import (
	"context"
	"fmt"
	"testing"

	"lus/internal/model/event"
	"lus/internal/model/filter"
	"lus/internal/service/image"
)

// noting is the service anew with somebody who acts at each event.
func (w *world) noting(act func(event.Event)) {
	w.t.Helper()
	s, err := image.New(image.Deps{Store: w.store, Users: w.users, Events: act})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = s
}

// While a prune removes one image, somebody names another that it would remove, or
// makes a container of it.
func TestAPruneSparesWhatIsWantedByThen(t *testing.T) {
	for what, c := range map[string]struct {
		names  []string
		filter filter.Filters
		want   func(w *world, id string) error
	}{
		"it is named": {[]string{"", ""}, nil, func(w *world, id string) error { return w.TagImage(context.Background(), id, "kept:1") }},
		"it is used": {[]string{"a:1", "b:1"}, filter.Filters{"dangling": {"false"}}, func(w *world, id string) error {
			w.users.mu.Lock()
			defer w.users.mu.Unlock()
			w.users.stopped = map[string][]string{id: {"web"}}
			return nil
		}},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			var ids []string
			for i, name := range c.names {
				ids = append(ids, w.importTar(name, tarOf(t, entry{name: "f", text: fmt.Sprint(i)})))
			}
			kept := ""
			w.noting(func(e event.Event) {
				if e.Action != "delete" || kept != "" {
					return
				}
				if kept = ids[0]; kept == e.Actor.ID {
					kept = ids[1]
				}
				if err := c.want(w, kept); err != nil {
					t.Error(err)
				}
			})
			removed, _, err := w.PruneImages(context.Background(), c.filter)
			if err != nil {
				t.Fatal(err)
			}
			if i, err := w.InspectImage(context.Background(), kept); err != nil || len(i.RepoTags) != 1 {
				t.Errorf("it is %+v, %v; removed were %v", i, err, removed)
			}
		})
	}
}

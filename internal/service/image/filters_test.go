package image_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/filter"
)

// What prune removes is what the filter shows before.
func TestWhatHasNoTagIsDangling(t *testing.T) {
	w := newWorld(t)
	img := imageOf(t, layer(t, entry{name: "f", text: "x"}))
	w.reg.push("app:1", img)
	d, _ := img.Digest()
	w.pull(w.reg.host + "/app@" + d.String())
	for value, want := range map[string]int{"true": 1, "false": 1} { // as in Docker, it has a name of a kind
		list, err := w.ListImages(context.Background(), false, filter.Filters{"dangling": {value}})
		if err != nil || len(list) != want {
			t.Errorf("dangling=%s: %d images, %v", value, len(list), err)
		}
	}
	removed, _, err := w.PruneImages(context.Background(), nil)
	if err != nil || len(removed) != 2 {
		t.Errorf("pruned: %v, %v", removed, err)
	}
}

func TestTimesOfFilters(t *testing.T) {
	w := newWorld(t)
	first := w.importTar("a:1", tarOf(t, entry{name: "f", text: "1"}))
	w.importTar("b:1", tarOf(t, entry{name: "f", text: "2"}))
	third := w.importTar("c:1", tarOf(t, entry{name: "f", text: "3"}))
	soon := time.Now().Add(time.Hour)
	for value, want := range map[string]int{
		fmt.Sprint(soon.Unix()): 3, fmt.Sprint(soon.Unix(), ".123456789"): 3, "1136073600": 0, "1136073600.5": 0,
		soon.Format("2006-01-02T15:04:05.999999999"): 3, soon.Add(time.Hour).Format("2006-01-02T15:04"): 3, soon.Add(24 * time.Hour).Format("2006-01-02"): 3,
		"2006-01-02": 0, "2006-01-02Z": 0, "0s": 3, "24h": 0,
	} {
		list, err := w.ListImages(context.Background(), false, filter.Filters{"until": {strings.ReplaceAll(value, " ", "")}})
		if err != nil || len(list) != want {
			t.Errorf("until=%s: %d images, want %d (%v)", value, len(list), want, err)
		}
	}
	for _, value := range []string{"soon", "", "inf", "-1x", "1e300"} {
		if _, err := w.ListImages(context.Background(), false, filter.Filters{"until": {value}}); !errs.Is(err, errs.Invalid) {
			t.Errorf("until=%s: %v", value, err)
		}
	}
	// Of several, each has to hold.
	for key, values := range map[string][2][]string{"before": {{"b:1", "c:1"}, {"c:1", "b:1"}}, "since": {{"b:1", "a:1"}, {"a:1", "b:1"}}} {
		for _, refs := range values {
			list, err := w.ListImages(context.Background(), false, filter.Filters{key: refs})
			if err != nil || len(list) != 1 || list[0].ID != map[string]string{"before": first, "since": third}[key] {
				t.Errorf("%s %v: %d images, %v", key, refs, len(list), err)
			}
		}
	}
}

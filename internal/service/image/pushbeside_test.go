package image_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"lus/internal/base/errs"
)

// A name that means another image by the time a push of it ends goes on meaning
// that, and one that is gone stays away.
func TestANameThatMovesDuringItsPush(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.host + "/app:1"
	for what, meanwhile := range map[string]func() (id string){
		"it is built anew": func() string { return w.importTar(ref, tarOf(t, entry{name: "f", text: "new"})) },
		"it is removed": func() string {
			if _, err := w.RemoveImage(context.Background(), ref, true, true); err != nil {
				t.Error(err)
			}
			return ""
		},
	} {
		w.importTar(ref, tarOf(t, entry{name: "f", text: what}))
		var want string
		w.reg.behind(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
				want = meanwhile()
			}
			return false
		})
		if _, err := w.pushed(ref, nil); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		w.reg.behind(nil)
		i, err := w.InspectImage(context.Background(), ref)
		switch {
		case want == "" && !errs.Is(err, errs.NotFound):
			t.Errorf("%s: %+v, %v", what, i, err)
		case want != "" && (err != nil || i.ID != want):
			t.Errorf("%s: %v, %v, want %s", what, i, err, want)
		}
	}
}

// An image that is removed while it is pushed is pushed whole, and then gone.
func TestAPushHoldsWhatItPushes(t *testing.T) {
	w := newWorld(t)
	for what, bring := range map[string]func(ref string){
		"made here": func(ref string) { w.importTar(ref, tarOf(t, entry{name: "f", text: "made here"})) },
		"pulled": func(ref string) {
			w.pull(w.reg.push("base:1", imageOf(t, layer(t, entry{name: "f", text: "pulled"}))))
			if err := w.TagImage(context.Background(), w.reg.host+"/base:1", ref); err != nil {
				t.Fatal(err)
			}
			if _, err := w.RemoveImage(context.Background(), w.reg.host+"/base:1", true, true); err != nil {
				t.Fatal(err)
			}
		},
	} {
		ref := w.reg.host + "/" + strings.ReplaceAll(what, " ", "-") + ":1"
		bring(ref)
		var once sync.Once
		w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
			once.Do(func() {
				if _, err := w.RemoveImage(context.Background(), ref, true, true); err != nil {
					t.Error(err)
				}
			})
			if r.Method == http.MethodHead { // it has nothing yet
				rw.WriteHeader(http.StatusNotFound)
				return true
			}
			return false
		})
		if _, err := w.pushed(ref, nil); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		w.reg.behind(nil)
		if _, err := w.InspectImage(context.Background(), ref); !errs.Is(err, errs.NotFound) {
			t.Errorf("%s: it is still here: %v", what, err)
		}
		w.pull(ref)
		if got, _ := w.read(ref, "f"); got != what {
			t.Errorf("%s: f is %q", what, got)
		}
	}
}

// Where a layer is known to be is remembered, but not without end.
func TestALayerIsPushedToAnyNumberOfRepositories(t *testing.T) {
	w := newWorld(t)
	w.importTar("app:1", tarOf(t, entry{name: "f", text: "x"}))
	for i := range 30 {
		ref := fmt.Sprintf("%s/%s/%d:1", w.reg.host, strings.Repeat("long/", 40)+"name", i)
		if err := w.TagImage(context.Background(), "app:1", ref); err != nil {
			t.Fatal(err)
		}
		if _, err := w.pushed(ref, nil); err != nil {
			t.Fatalf("the %dth repository: %v", i, err)
		}
	}
}

package image_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lus/internal/base/errs"
	model "lus/internal/model/image"
	"lus/internal/service/image"
)

// pushed pushes ref and returns what was said.
func (w *world) pushed(ref string, auth *model.Auth) (string, error) {
	var said strings.Builder
	err := w.PushImage(context.Background(), ref, auth, func(p model.Progress) { said.WriteString(p.ID + ": " + p.Status + "\n") })
	return said.String(), err
}

func TestAPushThatIsRefusedSaysWhy(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.host + "/app:1"
	w.importTar(ref, tarOf(t, entry{name: "f", text: "x"}))
	for _, c := range []struct {
		status int
		auth   *model.Auth
		kind   errs.Kind
		says   string
	}{
		{http.StatusUnauthorized, nil, errs.Unauthenticated, "authentication required"},
		{http.StatusForbidden, &model.Auth{Username: "u", Password: "secret-p"}, errs.Denied, "requested access to the resource is denied"},
		{http.StatusInternalServerError, nil, errs.Unavailable, "push of"},
	} {
		w.reg.behind(func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.WriteHeader(c.status)
			return true
		})
		said, err := w.pushed(ref, c.auth)
		if !errs.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d: %v", c.status, err)
		}
		if err != nil && strings.Contains(said+err.Error(), "secret-p") {
			t.Error("the password is told")
		}
	}
	// One failure passes.
	var n atomic.Int32
	w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || n.Add(1) > 2 {
			return false
		}
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if _, err := w.pushed(ref, nil); err != nil {
		t.Errorf("a registry that fails twice: %v", err)
	}
	w.reg.behind(nil)
	if _, err := w.pushed(w.reg.host+"/none:1", nil); !errs.Is(err, errs.NotFound) {
		t.Errorf("what is not here: %v", err)
	}
}

func TestAPushThatStallsEnds(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.host + "/app:1"
	w.importTar(ref, tarOf(t, entry{name: "f", text: noise(1 << 20)}))
	impatient, err := image.New(image.Deps{Store: w.store, Users: w.users, Limits: image.Limits{Stall: 300 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	defer close(done)
	w.reg.behind(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut && r.Method != http.MethodPatch {
			return false
		}
		_, _ = io.CopyN(io.Discard, r.Body, 10)
		select {
		case <-done:
		case <-r.Context().Done():
		}
		return true
	})
	err = impatient.PushImage(context.Background(), ref, nil, nil)
	if !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "takes nothing any more") {
		t.Errorf("a registry that stops: %v", err)
	}
}

// A registry that keeps blobs by repository is asked to mount them.
func TestLayersAreMountedFromAnotherRepository(t *testing.T) {
	w := newWorld(t)
	first, second := w.reg.host+"/first:1", w.reg.host+"/second:1"
	w.importTar(first, tarOf(t, entry{name: "f", text: "x"}))
	if _, err := w.pushed(first, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.TagImage(context.Background(), first, second); err != nil {
		t.Fatal(err)
	}
	var mounts atomic.Int32
	w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/second/blobs/"):
			rw.WriteHeader(http.StatusNotFound)
			return true
		case r.URL.Query().Get("mount") != "" && r.URL.Query().Get("from") == "first":
			mounts.Add(1)
			rw.WriteHeader(http.StatusCreated)
			return true
		}
		return false
	})
	said, err := w.pushed(second, nil)
	if err != nil {
		t.Fatal(err)
	}
	if mounts.Load() == 0 || !strings.Contains(said, "Mounted from first") {
		t.Errorf("%d mounts; it says\n%s", mounts.Load(), said)
	}
}

package image_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"lus/internal/base/errs"
)

// misdeed is something that a registry does instead of answering, what a pull
// says then, and of which kind its error is.
type misdeed struct {
	name string
	do   func(w http.ResponseWriter, r *http.Request)
	kind errs.Kind
	says string
}

// hang takes what is sent, without which no server sees that the other side has
// gone, and says nothing.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func status(code int, header ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func answer(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

// endless answers until the other side has enough.
func endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	for r.Context().Err() == nil {
		if _, err := w.Write(make([]byte, 64<<10)); err != nil {
			return
		}
	}
}

func halfThenHang(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "400")
	io.WriteString(w, "half of it")
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// drips sends a byte now and then, and would go on for ever.
func drips(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000000")
	for every := time.NewTicker(20 * time.Millisecond); r.Context().Err() == nil; <-every.C {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
		w.(http.Flusher).Flush()
	}
}

func halfThenGone(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "400")
	io.WriteString(w, "half of it")
}

// At each stage of a pull, each of these gives a clear error and leaves nothing,
// and the next try works.
func TestEveryStageOfAPullMayGoWrong(t *testing.T) {
	always := []misdeed{
		{"says nothing", hang, errs.Unavailable, "stalled"},
		{"answers 500", status(500), errs.Unavailable, "500 Internal Server Error"},
		{"answers 429", status(429), errs.Unavailable, "toomanyrequests"},
		{"answers 429 for an hour", status(429, "Retry-After", "3600"), errs.Unavailable, "it asks to wait for 1h0m0s"},
		{"answers 401 without a challenge", status(401), errs.NotFound, "pull access denied"},
		{"answers 401 with nonsense", status(401, "WWW-Authenticate", `Bearer realm==",,,"`), errs.Unavailable, "which is no address"},
		{"answers 401 for a scheme nobody has", status(401, "WWW-Authenticate", "Negotiate"), errs.NotFound, "pull access denied"},
		{"answers 403", status(403), errs.NotFound, "pull access denied"},
		{"leads in circles", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, errs.Unavailable, "redirects"},
		{"leads away without TLS", status(302, "Location", "http://192.0.2.1/x"), errs.Denied, "without TLS"},
	}
	body := []misdeed{
		{"stops in the middle", halfThenHang, errs.Unavailable, "stalled"},
		{"sends a byte now and then", drips, errs.Unavailable, "stalled"},
		{"breaks off", halfThenGone, errs.Unavailable, ""},
		{"sends something else", answer("something else"), errs.Unavailable, ""},
		{"sends nothing", answer(""), errs.Unavailable, ""},
		{"never ends", endless, errs.Unavailable, ""},
		{"answers 404", status(404), errs.NotFound, ""},
	}
	manifest := func(w http.ResponseWriter, r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }
	for stage, at := range map[string]struct {
		is   func(r *http.Request, config, layer string) bool
		does []misdeed
	}{
		"the name": {func(r *http.Request, _, _ string) bool { return r.Method == http.MethodHead && manifest(nil, r) }, always},
		"the manifest": {func(r *http.Request, _, _ string) bool { return r.Method == http.MethodGet && manifest(nil, r) },
			append(always, body...)},
		"the config": {func(r *http.Request, config, _ string) bool { return strings.HasSuffix(r.URL.Path, config) }, append(always, body...)},
		"a layer":    {func(r *http.Request, _, layer string) bool { return strings.HasSuffix(r.URL.Path, layer) }, append(always, body...)},
	} {
		t.Run(stage, func(t *testing.T) {
			w := newWorld(t)
			for i, m := range at.does {
				img := imageOf(t, layer(t, entry{name: "f", text: noise(500)}), layer(t, entry{name: "g", text: fmt.Sprint(i)}))
				ref := w.reg.push(fmt.Sprintf("app%d:1", i), img)
				config, top := partsOf(t, img)
				w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
					if !at.is(r, config, top) {
						return false
					}
					m.do(rw, r)
					return true
				})
				t.Run(m.name, func(t *testing.T) {
					inner := &world{t: t, root: w.root, store: w.store, users: w.users, reg: w.reg, Service: w.Service}
					if m.says == "stalled" {
						inner.limits(200 * time.Millisecond)
					}
					inner.refuse(ref, m.kind, m.says)
				})
				w.reg.behind(nil)
				w.pull(ref)
			}
		})
	}
}

// What a registry says of a failure is passed on, though a name is looked for with
// HEAD, which is answered without a word.
func TestAFailureIsToldInTheRegistrysWords(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.push("app:1", imageOf(t, layer(t, entry{name: "f", text: "x"})))
	w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		rw.WriteHeader(http.StatusServiceUnavailable)
		if r.Method != http.MethodHead {
			io.WriteString(rw, `{"errors":[{"code":"UNAVAILABLE","message":"the disk is being exchanged"}]}`)
		}
		return true
	})
	w.refuse(ref, errs.Unavailable, "the disk is being exchanged")
}

// partsOf are the digests of an image's config and topmost layer.
func partsOf(t *testing.T, img v1.Image) (config, layer string) {
	t.Helper()
	c, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	d, err := layers[len(layers)-1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return c.String(), d.String()
}

package image_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	reference "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"lus/internal/base/errs"
	model "lus/internal/model/image"
	"lus/internal/service/image"
)

// pushed pushes ref and returns what was said.
func (w *world) pushed(ref string, auth *model.Auth) (string, error) {
	var said strings.Builder
	err := w.PushImage(context.Background(), ref, "", auth, func(p model.Progress) { said.WriteString(p.ID + ": " + p.Status + "\n") })
	return said.String(), err
}

func TestAPushThatIsRefusedSaysWhy(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.host + "/app:1"
	w.importTar(ref, tarOf(t, entry{name: "f", text: "x"}))
	for _, c := range []struct {
		status int
		body   string
		auth   *model.Auth
		kind   errs.Kind
		says   string
	}{
		{http.StatusUnauthorized, "", nil, errs.Unauthenticated, "authentication required"},
		{http.StatusForbidden, "", &model.Auth{Username: "u", Password: "secret-p"}, errs.Denied, "requested access to the resource is denied"},
		{http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`, nil, errs.Unauthenticated, "authentication required"},
		// A reason of the registry's own comes first.
		{http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"the quota is used up"}]}`, &model.Auth{Username: "u", Password: "secret-p"}, errs.Denied, `denied: "the quota is used up"`},
		{http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"the quota is used up"}]}`, nil, errs.Denied, `denied: "the quota is used up"`},
		{http.StatusInternalServerError, "", nil, errs.Unavailable, "push of"},
	} {
		w.reg.behind(func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.WriteHeader(c.status)
			_, _ = io.WriteString(rw, c.body)
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
	err = impatient.PushImage(context.Background(), ref, "", nil, nil)
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

// What was never packed is packed as asked, and another engine's library reads it.
func TestAPushPacksAsAsked(t *testing.T) {
	w := newWorld(t)
	text := noise(1<<20) + strings.Repeat("packs well ", 1<<18)
	for name, kind := range map[string]types.MediaType{"": types.OCILayer, "gzip": types.OCILayer, "zstd": types.OCILayerZStd} {
		ref := w.reg.host + "/app-" + name + "x:1"
		w.importTar(ref, tarOf(t, entry{name: "f", text: text}))
		id := w.inspect(ref).ID
		called := map[string]bool{}
		if err := w.PushImage(context.Background(), ref, name, nil, func(p model.Progress) {
			if p.ID != "" {
				called[p.ID] = true
			}
		}); err != nil {
			t.Fatal(err)
		}
		if len(called) != 1 {
			t.Errorf("%q: its one layer is called %v on its way", name, called)
		}
		r, err := reference.ParseReference(ref, reference.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(r)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("%d layers, %v", len(layers), err)
		}
		if got, err := layers[0].MediaType(); err != nil || got != kind {
			t.Errorf("%q: the layer is %s (%v)", name, got, err)
		}
		if size, err := layers[0].Size(); err != nil || size < 1<<20 || size > 2<<20 {
			t.Errorf("%q: it has %d bytes (%v)", name, size, err)
		}
		if err := validate.Image(img); err != nil && kind != types.OCILayerZStd {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := w.RemoveImage(context.Background(), ref, true, true); err != nil {
			t.Fatal(err)
		}
		w.pull(ref)
		if got, _ := w.read(ref, "f"); got != text || w.inspect(ref).ID != id {
			t.Errorf("%q: another image came back", name)
		}
	}
	if err := w.PushImage(context.Background(), w.reg.host+"/x:1", "lz4", nil, nil); !errs.Is(err, errs.Invalid) {
		t.Errorf("lz4: %v", err)
	}
}

// At each stage of a push, each of these gives a clear error; what is here stays
// as it was, and the next try works.
func TestEveryStageOfAPushMayGoWrong(t *testing.T) {
	w := newWorld(t)
	full := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInsufficientStorage)
		io.WriteString(w, `{"errors":[{"code":"UNKNOWN","message":"no room for more"}]}`)
	}
	does := []misdeed{
		{"says nothing", hang, errs.Unavailable, "takes nothing any more"},
		{"answers 500", status(500), errs.Unavailable, "500 Internal Server Error"},
		{"answers 429", status(429), errs.Unavailable, "429 Too Many Requests"},
		{"answers 401", status(401), errs.Unauthenticated, "`lus login"},
		{"answers 403", status(403), errs.Unauthenticated, "`lus login"},
		{"is full", full, errs.Unavailable, "507"},
		{"takes nothing so large", status(413), errs.Unavailable, "413"},
		{"leads away without TLS", status(307, "Location", "http://192.0.2.1/x"), errs.Denied, "without TLS"},
	}
	for i, stage := range []string{"HEAD /blobs/", "POST /blobs/uploads/", "PUT /blobs/uploads/", "PUT /manifests/"} {
		method, part, _ := strings.Cut(stage, " ")
		for k, m := range does {
			if m.says == "413" && method != http.MethodHead {
				m.says = "larger requests"
			}
			if m.says == "413" {
				m.says = ""
			}
			t.Run(stage+m.name, func(t *testing.T) {
				inner := &world{t: t, root: w.root, store: w.store, users: w.users, reg: w.reg, Service: w.Service}
				if k == 0 {
					inner.limits(200 * time.Millisecond)
				}
				ref := w.reg.host + fmt.Sprintf("/app%d-%d:1", i, k)
				w.importTar(ref, tarOf(t, entry{name: "f", text: ref}))
				w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
					if r.Method != method || !strings.Contains(r.URL.Path, part) {
						return false
					}
					m.do(rw, r)
					return true
				})
				err := inner.PushImage(context.Background(), ref, "", nil, nil)
				if !errs.Is(err, m.kind) || !strings.Contains(err.Error(), m.says) {
					t.Errorf("%v (kind %d); want kind %d and %q", err, errs.KindOf(err), m.kind, m.says)
				}
				w.reg.behind(nil)
				if digests := w.inspect(ref).RepoDigests; len(digests) != 0 {
					t.Errorf("known as %v although nothing was pushed", digests)
				}
				if _, err := w.pushed(ref, nil); err != nil {
					t.Errorf("the next try: %v", err)
				}
			})
		}
	}
}

// dockerArchive is an image as `docker save` of former versions wrote it, its layers
// plain tars.
func dockerArchive(t *testing.T, name string, layers ...[]byte) []byte {
	t.Helper()
	var diffs, files []string
	var entries []entry
	for i, l := range layers {
		diffs = append(diffs, `"`+hashOf(t, l).String()+`"`)
		files = append(files, fmt.Sprintf(`"%d/layer.tar"`, i))
		entries = append(entries, entry{name: fmt.Sprintf("%d/layer.tar", i), text: string(l)})
	}
	config := `{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[` + strings.Join(diffs, ",") + `]}}`
	return tarOf(t, append(entries, entry{name: "c.json", text: config},
		entry{name: "manifest.json", text: `[{"Config":"c.json","RepoTags":["` + name + `"],"Layers":[` + strings.Join(files, ",") + `]}]`})...)
}

// What was loaded is packed as what was built, and what was pulled goes as it came.
func TestPlainLayersThatWereLoadedArePacked(t *testing.T) {
	w := newWorld(t)
	ref, text := w.reg.host+"/loaded:1", strings.Repeat("packs well ", 1<<16)
	one, two := tarOf(t, entry{name: "f", text: text}), tarOf(t, entry{name: "g", text: "two"})
	if err := w.LoadImages(context.Background(), bytes.NewReader(dockerArchive(t, ref, one, two)), nil); err != nil {
		t.Fatal(err)
	}
	id := w.inspect(ref).ID
	if _, err := w.pushed(ref, nil); err != nil {
		t.Fatal(err)
	}
	remoteOf := func(ref string) (types.MediaType, []types.MediaType, int64) {
		t.Helper()
		r, err := reference.ParseReference(ref, reference.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(r)
		if err != nil {
			t.Fatal(err)
		}
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		kinds := []types.MediaType{m.Config.MediaType}
		size := int64(0)
		for _, l := range m.Layers {
			kinds = append(kinds, l.MediaType)
			size += l.Size
		}
		return m.MediaType, kinds, size
	}
	kind, parts, size := remoteOf(ref)
	if kind != types.OCIManifestSchema1 || !slices.Equal(parts, []types.MediaType{types.OCIConfigJSON, types.OCILayer, types.OCILayer}) || size > int64(len(text))/10 {
		t.Errorf("it is %s of %s, its layers have %d bytes", kind, parts, size)
	}
	if _, err := w.RemoveImage(context.Background(), ref, true, true); err != nil {
		t.Fatal(err)
	}
	w.pull(ref)
	if got, _ := w.read(ref, "f"); got != text || w.inspect(ref).ID != id {
		t.Error("another image came back")
	}

	plain := w.reg.push("plain:1", imageOf(t, layerOf{static.NewLayer(one, types.OCIUncompressedLayer), hashOf(t, one)}))
	w.pull(plain)
	if err := w.TagImage(context.Background(), plain, w.reg.host+"/again:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pushed(w.reg.host+"/again:1", nil); err != nil {
		t.Fatal(err)
	}
	if _, parts, _ := remoteOf(w.reg.host + "/again:1"); parts[1] != types.OCIUncompressedLayer {
		t.Errorf("what was pulled has become %s", parts)
	}
}

package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	api "lus/internal/api/registry"
	"lus/internal/base/errs"
	model "lus/internal/model/registry"
	"lus/internal/service/registry"
	"lus/internal/store/content"
	"lus/internal/store/sqlite"
)

// byName lets users write below their own name, and everybody read all but what
// begins with their name and "secret". Users come as basic authentication
// without a password.
type byName struct{}

func (byName) Authenticate(r *http.Request) (model.Who, error) {
	user, _, _ := r.BasicAuth()
	return model.Who{Name: user}, nil
}

func (byName) Challenge(_ *http.Request, repository string, actions ...model.Action) string {
	return fmt.Sprintf("Basic realm=%q", fmt.Sprint(repository, actions))
}

func (byName) Allowed(_ context.Context, who model.Who, repository string, action model.Action) error {
	owner, rest, _ := strings.Cut(repository, "/")
	switch {
	case who.Root, who.Name == owner, action == model.Read && !strings.HasPrefix(rest, "secret"):
		return nil
	case who.Name == "":
		return errs.New(errs.Unauthenticated, "who are you?")
	}
	return errs.New(errs.Denied, "%s is not yours", repository)
}

// world is a registry over a store and records of its own, served over HTTP.
type world struct {
	*registry.Service
	t     *testing.T
	dir   string
	store *content.Store
	db    *sqlite.DB
	url   string
	ahead atomic.Int64 // of the clock, in nanoseconds
}

func newWorld(t *testing.T, limits ...registry.Limits) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), limits...)
}

func newWorldIn(t *testing.T, dir string, limits ...registry.Limits) *world {
	t.Helper()
	w := &world{t: t, dir: dir}
	var l registry.Limits
	if len(limits) > 0 {
		l = limits[0]
	}
	w.open(l)
	t.Cleanup(w.close)
	h := api.New(api.Deps{Registry: w, Auth: byName{}})
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { h.ServeHTTP(rw, r) }))
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

func (w *world) open(l registry.Limits) {
	w.t.Helper()
	var err error
	if w.db, err = sqlite.Open(filepath.Join(w.dir, "lus.db"), registry.Migrations()); err != nil {
		w.t.Fatal(err)
	}
	if w.store, err = content.Open(context.Background(), filepath.Join(w.dir, "images"), content.Options{}); err != nil {
		w.t.Fatal(err)
	}
	w.Service, err = registry.New(context.Background(), registry.Deps{
		Store: w.store, DB: w.db, Access: byName{}, Limits: l,
		Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store.Ready()
}

func (w *world) close() {
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) code() string {
	var e struct{ Errors []struct{ Code string } }
	if json.Unmarshal([]byte(a.body), &e) != nil || len(e.Errors) == 0 {
		return ""
	}
	return e.Errors[0].Code
}

// do sends a request as user ("" is nobody). Headers follow as name, value.
func (w *world) do(user, method, path, body string, headers ...string) answer {
	w.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = w.url + path
	}
	req, err := http.NewRequest(method, path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, "")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

// want does it, and fails where another status comes.
func (w *world) want(status int, user, method, path, body string, headers ...string) answer {
	w.t.Helper()
	a := w.do(user, method, path, body, headers...)
	if a.status != status {
		w.t.Fatalf("%s %s as %q: status %d, want %d: %s", method, path, user, a.status, status, a.body)
	}
	return a
}

func dig(text string) string { return digest.FromString(text).String() }

// blob pushes a blob and returns its digest.
func (w *world) blob(user, repo, text string) string {
	w.t.Helper()
	w.want(http.StatusCreated, user, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+dig(text), text)
	return dig(text)
}

// manifest is a manifest of a config and layers, which are texts.
func manifest(layers ...string) string {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: descriptor(ocispec.MediaTypeImageConfig, "{}")}
	m.SchemaVersion = 2
	m.Layers = []ocispec.Descriptor{}
	for _, l := range layers {
		m.Layers = append(m.Layers, descriptor(ocispec.MediaTypeImageLayer, l))
	}
	return encode(m)
}

func descriptor(mediaType, text string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(text), Size: int64(len(text))}
}

func encode(v any) string {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		panic(err) // a test's own value
	}
	return b.String()
}

// push pushes an image of texts, and returns its manifest.
func (w *world) push(user, repo, ref string, layers ...string) string {
	w.t.Helper()
	for _, l := range append(layers, "{}") {
		w.blob(user, repo, l)
	}
	m := manifest(layers...)
	w.want(http.StatusCreated, user, "PUT", "/v2/"+repo+"/manifests/"+ref, m, "Content-Type", ocispec.MediaTypeImageManifest)
	return m
}

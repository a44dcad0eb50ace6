package image_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"lus/internal/base/errs"
	"lus/internal/model/event"
	model "lus/internal/model/image"
	"lus/internal/service/image"
	"lus/internal/store/content"
	"lus/test/need"
)

// world is one image service on a store of its own, with a registry beside it.
type world struct {
	*image.Service
	t     *testing.T
	root  string
	store *content.Store
	users *users
	reg   *fakeRegistry

	mu     sync.Mutex
	events []string
}

// users is the engine's part: which containers use which image.
type users struct {
	mu               sync.Mutex
	running, stopped map[string][]string
}

func (u *users) ContainersUsing(id string) (running, stopped []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.running[id], u.stopped[id]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	need.Root(t)
	t.Parallel()
	w := &world{t: t, root: t.TempDir(), users: &users{}, reg: newRegistry(t)}
	w.open()
	t.Cleanup(func() { w.store.Close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	s, err := content.Open(context.Background(), w.root, content.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
	w.Service, err = image.New(image.Deps{
		Store: s, Users: w.users, Limits: image.Limits{Stall: 30 * time.Second, Pause: 10 * time.Millisecond, Free: 64 << 20},
		Events: func(e event.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e.Action+" "+e.Actor.Attributes["name"])
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s.Ready()
}

func (w *world) reopen() {
	w.t.Helper()
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

func (w *world) pull(ref string) {
	w.t.Helper()
	if err := w.PullImage(context.Background(), ref, "", nil, nil); err != nil {
		w.t.Fatalf("pull %s: %v", ref, err)
	}
}

// refuse pulls and wants an error of a kind with words in it, and nothing left.
func (w *world) refuse(ref string, kind errs.Kind, words ...string) {
	w.t.Helper()
	before := w.files()
	err := w.PullImage(context.Background(), ref, "", nil, nil)
	if !errs.Is(err, kind) {
		w.t.Fatalf("pull %s gives %v (kind %d), want kind %d", ref, err, errs.KindOf(err), kind)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			w.t.Errorf("pull %s: %q does not say %q", ref, err, word)
		}
	}
	w.same(before)
}

// files is every file and folder that holds content, for comparing before and
// after. The databases and their growth do not count.
func (w *world) files() string {
	w.t.Helper()
	var all strings.Builder
	for _, dir := range []string{"content", "overlayfs/snapshots"} {
		filepath.Walk(filepath.Join(w.root, dir), func(p string, i os.FileInfo, err error) error {
			if err == nil && (!i.IsDir() || strings.Contains(p, "overlayfs/snapshots/")) {
				fmt.Fprintln(&all, strings.TrimPrefix(p, w.root))
			}
			return nil
		})
	}
	return all.String()
}

func (w *world) same(before string) {
	w.t.Helper()
	if after := w.files(); after != before {
		w.t.Errorf("something is left:\nbefore:\n%s\nafter:\n%s", before, after)
	}
}

func (w *world) collect() {
	w.t.Helper()
	if _, err := w.store.GarbageCollect(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) inspect(ref string) *model.Image {
	w.t.Helper()
	i, err := w.InspectImage(context.Background(), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

// read reads a file of an image through its layers, topmost first. An empty
// answer with false means that it is not there.
func (w *world) read(ref, file string) (string, bool) {
	w.t.Helper()
	l, err := w.Layers(context.Background(), w.inspect(ref).ID)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, dir := range l.Dirs {
		info, err := os.Lstat(filepath.Join(dir, file))
		if err != nil {
			continue
		}
		if info.Mode()&os.ModeCharDevice != 0 { // a whiteout
			return "", false
		}
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			w.t.Fatal(err)
		}
		return string(text), true
	}
	return "", false
}

// fakeRegistry is a real registry with a door in front of it that tests can
// make misbehave.
type fakeRegistry struct {
	t    testing.TB
	host string
	mu   sync.Mutex
	door func(w http.ResponseWriter, r *http.Request) (handled bool)
	seen []string
}

func newRegistry(t testing.TB) *fakeRegistry {
	f := &fakeRegistry{t: t}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		door := f.door
		f.seen = append(f.seen, r.Method+" "+r.URL.Path)
		f.mu.Unlock()
		if door != nil && door(w, r) {
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.host = strings.TrimPrefix(server.URL, "http://")
	return f
}

// behind puts a door in front of the registry; the one who pushes passes first.
func (f *fakeRegistry) behind(door func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.door = door
}

// asked counts the requests that had what in them.
func (f *fakeRegistry) asked(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, s := range f.seen {
		if strings.Contains(s, what) {
			n++
		}
	}
	return n
}

// push puts an image into the registry and returns its reference.
func (f *fakeRegistry) push(repo string, img v1.Image) string {
	f.t.Helper()
	ref := f.host + "/" + repo
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := remote.Write(r, img); err != nil {
		f.t.Fatal(err)
	}
	return ref
}

func (f *fakeRegistry) pushIndex(repo string, idx v1.ImageIndex) string {
	f.t.Helper()
	ref := f.host + "/" + repo
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := remote.WriteIndex(r, idx); err != nil {
		f.t.Fatal(err)
	}
	return ref
}

// entry is one entry of a tar.
type entry struct {
	name, text, link string
	kind             byte
	mode             int64 // 0 means 0755
	uid              int
	xattrs           map[string]string
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		kind := e.kind
		if kind == 0 {
			kind = tar.TypeReg
		}
		h := &tar.Header{Name: e.name, Typeflag: kind, Linkname: e.link, Mode: cmp.Or(e.mode, 0o755), Uid: e.uid, Size: int64(len(e.text)), ModTime: time.Unix(1e9, 0)}
		for k, v := range e.xattrs {
			h.PAXRecords = map[string]string{"SCHILY.xattr." + k: v}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, e.text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zst(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// layerOf is a layer of packed bytes whose config names diff.
type layerOf struct {
	v1.Layer
	diff v1.Hash
}

func (l layerOf) DiffID() (v1.Hash, error) { return l.diff, nil }

func hashOf(t testing.TB, b []byte) v1.Hash {
	t.Helper()
	h, _, err := v1.SHA256(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// layer is a gzip layer of the entries.
func layer(t testing.TB, entries ...entry) v1.Layer {
	plain := tarOf(t, entries...)
	return layerOf{static.NewLayer(gz(plain), types.OCILayer), hashOf(t, plain)}
}

// imageOf is an OCI image of layers for this machine.
func imageOf(t testing.TB, layers ...v1.Layer) v1.Image {
	t.Helper()
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return configured(t, img, "linux", "amd64")
}

func configured(t testing.TB, img v1.Image, os, arch string) v1.Image {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = os, arch
	c.Created = v1.Time{Time: time.Unix(1e9, 0).UTC()}
	c.Config.Cmd = []string{"/bin/sh"}
	c.Config.Env = []string{"PATH=/bin"}
	c.Config.Labels = map[string]string{"for": arch}
	img, err = mutate.ConfigFile(img, c)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

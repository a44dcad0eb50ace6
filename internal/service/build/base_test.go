package build_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/test/need"
)

// registryWith starts a registry on loopback that has NAME/base:1, and returns
// its address.
func registryWith(t *testing.T, tar []byte) string {
	t.Helper()
	return registryBehind(t, tar, func(h http.Handler) http.Handler { return h })
}

// registryBehind is the same with something between it and those who ask.
func registryBehind(t *testing.T, tar []byte, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	s := httptest.NewServer(wrap(registry.New(registry.Logger(log.New(io.Discard, "", 0)))))
	t.Cleanup(s.Close)
	address := strings.TrimPrefix(s.URL, "http://")
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tar)), nil })
	must(t, err)
	img, err := mutate.AppendLayers(empty.Image, layer)
	must(t, err)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux",
		Config: v1.Config{Env: []string{"PATH=/bin"}},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(t, img)},
	})
	must(t, err)
	ref, err := name.ParseReference(address + "/base:1")
	must(t, err)
	must(t, remote.Write(ref, img))
	return address
}

func diffIDs(t *testing.T, img v1.Image) []v1.Hash {
	t.Helper()
	c, err := img.ConfigFile()
	must(t, err)
	return c.RootFS.DiffIDs
}

func TestABasePulledFromARegistry(t *testing.T) {
	b := newBuilder(t)
	address := registryWith(t, need.BusyboxTar(t))
	r := b.file("FROM "+address+"/base:1\nRUN echo made > /made\n", nil).ok(t)
	b.wantFile(r.id, "made", "made")
	b.wantFile(r.id, "etc/group", "root:x:0:\nnogroup:x:65534:")
	img, err := b.store.ImageStore().Get(t.Context(), "docker.io/library/app:latest")
	must(t, err)
	raw, err := content.ReadBlob(t.Context(), b.store.ContentStore(), img.Target)
	must(t, err)
	var m ocispec.Manifest
	must(t, json.Unmarshal(raw, &m))
	if len(m.Layers) != 2 || m.Layers[0].MediaType != ocispec.MediaTypeImageLayerGzip || m.Layers[1].MediaType != ocispec.MediaTypeImageLayer {
		t.Fatalf("the manifest's layers are %+v: want the pulled one as it came, and the new one", m.Layers)
	}
	if m.Layers[1].Digest != b.config(r.id).RootFS.DiffIDs[1] {
		t.Error("the new layer is not known by its diff id")
	}
	_, err = b.Prune(t.Context(), build.Prune{All: true})
	must(t, err)
	_, err = b.store.GarbageCollect(t.Context())
	must(t, err)
	for _, l := range m.Layers {
		if err := b.readBlob(l.Digest); err != nil {
			t.Errorf("layer %s cannot be pushed or saved: %v", l.Digest, err)
		}
	}
	upon := b.file("FROM app\nRUN cat /made > /again\n", nil, func(q *build.Request) { q.Tags = []string{"upon"} }).ok(t)
	b.wantFile(upon.id, "again", "made")
	if got, want := b.config(upon.id).RootFS.DiffIDs[:2], b.config(r.id).RootFS.DiffIDs; got[0] != want[0] || got[1] != want[1] {
		t.Errorf("layers %v, want those of the base, %v, below", got, want)
	}
}

// A layer whose bytes are not those of its digest, or that ends too early, is no
// base for anything; when it is whole again, the build works.
func TestACorruptBaseLayer(t *testing.T) {
	b := newBuilder(t)
	var spoil atomic.Value
	spoil.Store("")
	address := registryBehind(t, need.BusyboxTar(t), func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
				h.ServeHTTP(w, r)
				return
			}
			rec, whole := httptest.NewRecorder(), r.Clone(r.Context())
			whole.Header.Del("Range")
			h.ServeHTTP(rec, whole)
			how, data := spoil.Load().(string), rec.Body.Bytes()
			if how == "" || len(data) < 10_000 { // the config is left alone
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data)) // from where it broke off
				return
			}
			if how == "truncated" {
				w.Header().Set("Content-Length", strconv.Itoa(len(data)))
				_, _ = w.Write(data[:len(data)/2])
				return
			}
			data[len(data)/2] ^= 0xff
			_, _ = w.Write(data)
		})
	})
	for _, how := range []string{"truncated", "corrupt"} {
		spoil.Store(how)
		r := b.file("FROM "+address+"/base:1\nRUN true\n", nil)
		if r.err == nil {
			t.Fatalf("%s: it was built", how)
		}
		if b.hasImage("app:latest") {
			t.Errorf("%s: an image came to be", how)
		}
		if !strings.Contains(r.err.Error(), "build again") {
			t.Errorf("%s: people are told %v", how, r.err)
		}
	}
	spoil.Store("")
	r := b.file("FROM "+address+"/base:1\nRUN echo whole > /w\n", nil).ok(t)
	b.wantFile(r.id, "w", "whole")
}

func TestABaseThatTheRegistryDoesNotHave(t *testing.T) {
	b := newBuilder(t)
	address := registryWith(t, need.BusyboxTar(t))
	r := b.file("FROM busybox\nCOPY --from="+address+"/none:1 /a /a\n", nil)
	wantKind(t, r.err, errs.NotFound, "Dockerfile:2: ", address+"/none:1", "lus pull")
}

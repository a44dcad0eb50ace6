package image_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"lus/internal/base/errs"
	model "lus/internal/model/image"
)

func TestPulledImageIsWhatWasPushed(t *testing.T) {
	w := newWorld(t)
	img := imageOf(t, layer(t, entry{name: "a", text: "one"}), layer(t, entry{name: "b", text: "two"}))
	ref := w.reg.push("app:1", img)
	var said []string
	err := w.PullImage(context.Background(), ref, "", nil, func(p model.Progress) {
		said = append(said, strings.TrimSpace(p.ID+" "+p.Status))
	})
	if err != nil {
		t.Fatal(err)
	}
	i := w.inspect(ref)
	config, _ := img.ConfigName()
	digest, _ := img.Digest()
	if i.ID != config.String() || i.Target != digest.String() {
		t.Errorf("id %s, target %s; want %s, %s", i.ID, i.Target, config, digest)
	}
	if !slices.Equal(i.RepoTags, []string{ref}) || !slices.Equal(i.RepoDigests, []string{w.reg.host + "/app@" + digest.String()}) {
		t.Errorf("tags %v, digests %v", i.RepoTags, i.RepoDigests)
	}
	if got, _ := w.read(ref, "b"); got != "two" {
		t.Errorf("the file b is %q", got)
	}
	if i.Size < 6 || i.Architecture != "amd64" || i.Config.Cmd[0] != "/bin/sh" || i.Config.Labels["for"] != "amd64" {
		t.Errorf("inspect: %+v", i)
	}
	layers, _ := img.Layers()
	first, _ := layers[0].Digest()
	for _, want := range []string{
		"1 Pulling from app", first.Hex[:12] + " Pulling fs layer", first.Hex[:12] + " Download complete",
		first.Hex[:12] + " Pull complete", "Digest: " + digest.String(), "Status: Downloaded newer image for " + ref,
	} {
		if !slices.Contains(said, want) {
			t.Errorf("progress does not say %q:\n%s", want, strings.Join(said, "\n"))
		}
	}
	if !slices.Contains(w.events, "pull "+w.reg.host+"/app") {
		t.Errorf("events: %v", w.events)
	}
}

func TestSecondPullIsUpToDate(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.push("app:1", imageOf(t, layer(t, entry{name: "a", text: "one"})))
	w.pull(ref)
	blobs := w.reg.asked("/blobs/")
	var last string
	if err := w.PullImage(context.Background(), ref, "", nil, func(p model.Progress) { last = p.Status }); err != nil {
		t.Fatal(err)
	}
	if last != "Status: Image is up to date for "+ref {
		t.Errorf("the last word is %q", last)
	}
	if w.reg.asked("/blobs/") != blobs {
		t.Error("blobs were fetched again")
	}
}

func TestMovedTagLeavesTheFormerImageDangling(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.push("app:1", imageOf(t, layer(t, entry{name: "a", text: "one"})))
	w.pull(ref)
	old := w.inspect(ref).ID
	w.reg.push("app:1", imageOf(t, layer(t, entry{name: "a", text: "two"})))
	w.pull(ref)
	if got, _ := w.read(ref, "a"); got != "two" {
		t.Errorf("the new image says %q", got)
	}
	i := w.inspect(old)
	if len(i.RepoTags) != 0 {
		t.Errorf("the former image has tags %v", i.RepoTags)
	}
}

func TestIndexGivesTheRightPlatform(t *testing.T) {
	w := newWorld(t)
	add := func(arch string) mutate.IndexAddendum {
		img := configured(t, imageOf(t, layer(t, entry{name: "arch", text: arch})), "linux", arch)
		return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}}
	}
	ref := w.reg.pushIndex("app:1", mutate.AppendManifests(empty.Index, add("arm64"), add("amd64"), add("s390x")))
	w.pull(ref)
	if got, _ := w.read(ref, "arch"); got != "amd64" {
		t.Errorf("this machine got %q", got)
	}
	if err := w.PullImage(context.Background(), ref, "linux/arm64", nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := w.inspect(ref).Architecture; got != "arm64" {
		t.Errorf("--platform linux/arm64 got %q", got)
	}
	err := w.PullImage(context.Background(), ref, "linux/riscv64", nil, nil)
	if !errs.Is(err, errs.NotFound) || !strings.Contains(err.Error(), "no matching manifest for linux/riscv64") {
		t.Errorf("a platform that is not there: %v", err)
	}
	single := w.reg.push("single:1", configured(t, imageOf(t, layer(t, entry{name: "arch", text: "s390x"})), "linux", "s390x"))
	if err := w.PullImage(context.Background(), single, "linux/arm64", nil, nil); !errs.Is(err, errs.NotFound) || !strings.Contains(err.Error(), "linux/s390x only") {
		t.Errorf("a single image for another platform than asked: %v", err)
	}
	w.pull(single) // not asked for any, it comes as it is
	if err := w.PullImage(context.Background(), ref, "no/such/plat/form", nil, nil); !errs.Is(err, errs.Invalid) {
		t.Errorf("an impossible platform: %v", err)
	}
}

func TestEveryPackingIsUnpacked(t *testing.T) {
	w := newWorld(t)
	plain := tarOf(t, entry{name: "f", text: "packed"})
	for name, c := range map[string]struct {
		bytes []byte
		kind  types.MediaType
	}{
		"gzip":    {gz(plain), types.OCILayer},
		"zstd":    {zst(t, plain), types.OCILayerZStd},
		"plain":   {plain, types.OCIUncompressedLayer},
		"docker":  {gz(plain), types.DockerLayer},
		"liar":    {zst(t, plain), types.OCILayer}, // says gzip, is zstd
		"foreign": {gz(plain), types.OCIRestrictedLayer},
	} {
		l := layerOf{static.NewLayer(c.bytes, c.kind), hashOf(t, plain)}
		img := imageOf(t, l)
		if name == "docker" {
			img = mutate.ConfigMediaType(mutate.MediaType(img, types.DockerManifestSchema2), types.DockerConfigJSON)
		}
		if name == "foreign" {
			continue // the registry library does not push those
		}
		ref := w.reg.push(name+":1", img)
		w.pull(ref)
		if got, _ := w.read(ref, "f"); got != "packed" {
			t.Errorf("%s: the file is %q", name, got)
		}
	}
}

func TestLayersChangeOneAnother(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.push("app:1", imageOf(t,
		layer(t, entry{name: "gone", text: "x"}, entry{name: "d/", kind: '5'}, entry{name: "d/old", text: "x"}, entry{name: "keep", text: "k"}),
		layer(t, entry{name: ".wh.gone"}, entry{name: "d/", kind: '5'}, entry{name: "d/.wh..wh..opq"}, entry{name: "d/new", text: "n"},
			entry{name: "hard1", text: "h"}, entry{name: "hard2", kind: '1', link: "hard1"}, entry{name: "soft", kind: '2', link: "/etc/passwd"}),
	))
	w.pull(ref)
	if _, there := w.read(ref, "gone"); there {
		t.Error("the deleted file is there")
	}
	for file, want := range map[string]string{"keep": "k", "d/new": "n", "hard2": "h"} {
		if got, _ := w.read(ref, file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	l, err := w.Layers(context.Background(), w.inspect(ref).ID)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := os.Stat(filepath.Join(l.Dirs[0], "hard1"))
	b, _ := os.Stat(filepath.Join(l.Dirs[0], "hard2"))
	if !os.SameFile(a, b) {
		t.Error("the hard link is a copy")
	}
	if to, _ := os.Readlink(filepath.Join(l.Dirs[0], "soft")); to != "/etc/passwd" {
		t.Errorf("the symlink leads to %q", to)
	}
	if !opaque(t, filepath.Join(l.Dirs[0], "d")) {
		t.Error("the emptied folder is not opaque")
	}
}

func TestHostileTarStaysInside(t *testing.T) {
	w := newWorld(t)
	outside := t.TempDir()
	mark := filepath.Join(outside, "mark")
	up := strings.Repeat("../", 30)
	for name, entries := range map[string][]entry{
		"absolute":     {{name: mark, text: "x"}},
		"dots":         {{name: up + mark, text: "x"}},
		"symlink":      {{name: "out", kind: '2', link: outside}, {name: "out/mark", text: "x"}},
		"dots-symlink": {{name: "out", kind: '2', link: up + outside}, {name: "out/mark", text: "x"}},
		"whiteout":     {{name: up + outside + "/.wh.victim", text: ""}},
	} {
		os.WriteFile(filepath.Join(outside, "victim"), []byte("v"), 0o600)
		ref := w.reg.push(name+":1", imageOf(t, layer(t, entries...)))
		// Refused or kept inside: both are fine, touching the host is not.
		_ = w.PullImage(context.Background(), ref, "", nil, nil)
		if _, err := os.Lstat(mark); err == nil {
			t.Errorf("%s: the tar wrote outside of its layer", name)
			os.Remove(mark)
		}
		if _, err := os.Lstat(filepath.Join(outside, "victim")); err != nil {
			t.Errorf("%s: the tar deleted outside of its layer", name)
		}
	}
	// A hard link to a file of the host would give it away.
	secret := filepath.Join(outside, "secret")
	os.WriteFile(secret, []byte("s"), 0o600)
	ref := w.reg.push("hardlink:1", imageOf(t, layer(t, entry{name: "stolen", kind: '1', link: up + secret})))
	if err := w.PullImage(context.Background(), ref, "", nil, nil); err == nil {
		if got, there := w.read(ref, "stolen"); there && got == "s" {
			t.Error("the tar linked to a file of the host")
		}
	}
}

func TestBombIsRefused(t *testing.T) {
	w := newWorld(t)
	plain := tarOf(t, entry{name: "zeros", text: strings.Repeat("\x00", 80<<20)})
	l := layerOf{static.NewLayer(gz(plain), types.OCILayer), hashOf(t, plain)}
	w.refuse(w.reg.push("bomb:1", imageOf(t, l)), errs.Invalid, "decompression bomb")
}

func TestDamagedImagesAreRefused(t *testing.T) {
	w := newWorld(t)
	plain := tarOf(t, entry{name: "f", text: "x"})
	other := hashOf(t, []byte("something else"))

	t.Run("a layer that is not what the config says", func(t *testing.T) {
		l := layerOf{static.NewLayer(gz(plain), types.OCILayer), other}
		w.refuse(w.reg.push("wrong:1", imageOf(t, l)), errs.Invalid, "the image is damaged")
	})
	t.Run("a layer that is no tar", func(t *testing.T) {
		l := layerOf{static.NewLayer([]byte("this is no tar at all, by no means"), types.OCILayer), other}
		w.refuse(w.reg.push("notar:1", imageOf(t, l)), errs.Invalid)
	})
	t.Run("gzip cut off inside", func(t *testing.T) {
		cut := gz(plain)
		l := layerOf{static.NewLayer(cut[:len(cut)/2], types.OCILayer), hashOf(t, plain)}
		w.refuse(w.reg.push("cutgzip:1", imageOf(t, l)), errs.Invalid)
	})
	t.Run("an artifact that is no image", func(t *testing.T) {
		img := mutate.ConfigMediaType(imageOf(t), "application/vnd.example.config+json")
		w.refuse(w.reg.push("artifact:1", img), errs.Unsupported, "artifact")
	})
	t.Run("a layer of an unknown type", func(t *testing.T) {
		l := layerOf{static.NewLayer(gz(plain), "application/vnd.example.layer"), hashOf(t, plain)}
		w.refuse(w.reg.push("unknown:1", imageOf(t, l)), errs.Unsupported, "vnd.example.layer")
	})
	t.Run("more layers than the config has", func(t *testing.T) {
		w.reg.behind(nil)
		img := imageOf(t, layer(t, entry{name: "f", text: "x"}))
		c, _ := img.ConfigFile()
		c = c.DeepCopy()
		c.RootFS.DiffIDs = nil
		img, err := mutate.ConfigFile(img, c)
		if err != nil {
			t.Fatal(err)
		}
		w.refuse(w.reg.push("count:1", img), errs.Invalid, "damaged")
	})
}

func TestRegistryThatMisbehaves(t *testing.T) {
	blob := func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
	}
	one := func(t *testing.T) (*world, string) {
		w := newWorld(t)
		return w, w.reg.push("app:1", imageOf(t, layer(t, entry{name: "f", text: strings.Repeat("text", 5000)})))
	}
	t.Run("another blob than asked for", func(t *testing.T) {
		w, ref := one(t)
		w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
			if !blob(r) {
				return false
			}
			fmt.Fprint(rw, strings.Repeat("x", 500))
			return true
		})
		w.refuse(ref, errs.Unavailable)
	})
	t.Run("a blob cut off each time", func(t *testing.T) {
		w, ref := one(t)
		w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
			if !blob(r) {
				return false
			}
			rw.Header().Set("Content-Length", "100000")
			rw.Write([]byte("short"))
			return true
		})
		w.refuse(ref, errs.Unavailable)
	})
	t.Run("500 now and then is survived", func(t *testing.T) {
		w, ref := one(t)
		var n atomic.Int32
		w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
			if n.Add(1)%3 == 0 {
				return false
			}
			rw.WriteHeader(http.StatusInternalServerError)
			return true
		})
		w.pull(ref)
	})
	t.Run("429 twice is survived", func(t *testing.T) {
		w, ref := one(t)
		var n atomic.Int32
		w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
			if !blob(r) || n.Add(1) > 2 {
				return false
			}
			rw.WriteHeader(http.StatusTooManyRequests)
			return true
		})
		w.pull(ref)
	})
	t.Run("500 for ever", func(t *testing.T) {
		w, ref := one(t)
		w.reg.behind(func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.WriteHeader(http.StatusInternalServerError)
			return true
		})
		w.refuse(ref, errs.Unavailable, "500")
	})
	t.Run("an answer that is no manifest", func(t *testing.T) {
		w, ref := one(t)
		w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			rw.Header().Set("Content-Type", "text/html")
			fmt.Fprint(rw, "<html>welcome to the hotel's wifi</html>")
			return true
		})
		w.refuse(ref, errs.Unsupported, "not an image")
	})
	t.Run("nothing comes any more and the user has enough", func(t *testing.T) {
		w, ref := one(t)
		entered := make(chan struct{}, 10)
		w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
			if !blob(r) {
				return false
			}
			rw.Header().Set("Content-Length", "100000")
			rw.Write([]byte("some"))
			rw.(http.Flusher).Flush()
			entered <- struct{}{}
			<-r.Context().Done()
			return true
		})
		before := w.files()
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-entered; cancel() }()
		err := w.PullImage(ctx, ref, "", nil, nil)
		if err == nil || !strings.Contains(err.Error(), "cancelled") {
			t.Errorf("the cancelled pull gives %v", err)
		}
		w.same(before)
		w.reg.behind(nil)
		w.pull(ref)
	})
	t.Run("a registry that is not there", func(t *testing.T) {
		w, _ := one(t)
		w.refuse("127.0.0.1:1/app:1", errs.Unavailable, "scripts/base-images", "127.0.0.1:1")
	})
	t.Run("a tag that is not there", func(t *testing.T) {
		w, _ := one(t)
		w.refuse(w.reg.host+"/app:nope", errs.NotFound, "manifest unknown", "/app:nope")
	})
}

func TestPullWithCredentials(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.push("private/app:1", imageOf(t, layer(t, entry{name: "f", text: "secret"})))
	w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
		if user, pass, ok := r.BasicAuth(); ok && user == "ann" && pass == "right" {
			return false
		}
		rw.Header().Set("WWW-Authenticate", `Basic realm="here"`)
		rw.WriteHeader(http.StatusUnauthorized)
		return true
	})
	w.refuse(ref, errs.NotFound, "pull access denied for "+w.reg.host+"/private/app, repository does not exist or may require 'docker login'")
	ctx := context.Background()
	err := w.PullImage(ctx, ref, "", &model.Auth{Username: "ann", Password: "wrong"}, nil)
	if !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("a wrong password gives %v", err)
	}
	if strings.Contains(fmt.Sprint(err), "wrong") {
		t.Error("the error tells the password")
	}
	packed := base64.StdEncoding.EncodeToString([]byte("ann:right"))
	if err := w.PullImage(ctx, ref, "", &model.Auth{Auth: packed}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestPullWithToken(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.push("app:1", imageOf(t, layer(t, entry{name: "f", text: "x"})))
	w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			user, pass, _ := r.BasicAuth()
			if r.Method == http.MethodPost {
				rw.WriteHeader(http.StatusNotFound) // an old token server
				return true
			}
			if user != "ann" || pass != "right" {
				rw.WriteHeader(http.StatusUnauthorized)
				return true
			}
			fmt.Fprint(rw, `{"token":"t0k"}`)
			return true
		}
		if r.Header.Get("Authorization") == "Bearer t0k" {
			return false
		}
		rw.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="here"`, w.reg.host))
		rw.WriteHeader(http.StatusUnauthorized)
		return true
	})
	ctx := context.Background()
	if err := w.PullImage(ctx, ref, "", &model.Auth{Username: "ann", Password: "wrong"}, nil); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("a wrong password gives %v", err)
	}
	if err := w.PullImage(ctx, ref, "", &model.Auth{Username: "ann", Password: "right"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.PullImage(ctx, ref, "", &model.Auth{RegistryToken: "t0k"}, nil); err != nil {
		t.Errorf("with the token itself: %v", err)
	}
}

func TestTwoPullsOfOneImageShareTheWork(t *testing.T) {
	w := newWorld(t)
	img := imageOf(t, layer(t, entry{name: "f", text: "x"}))
	ref := w.reg.push("app:1", img)
	layers, _ := img.Layers()
	d, _ := layers[0].Digest()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := w.PullImage(context.Background(), ref, "", nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := w.reg.asked("GET /v2/app/blobs/" + d.String()); n != 1 {
		t.Errorf("the layer was fetched %d times", n)
	}
	if got, _ := w.read(ref, "f"); got != "x" {
		t.Errorf("the file is %q", got)
	}
}

func TestPullOutlivesAKill(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.push("app:1", imageOf(t, layer(t, entry{name: "a", text: "1"}), layer(t, entry{name: "b", text: "2"})))
	before := w.files()
	// The first layer comes, the second hangs; then the store goes away under
	// the pull, as it does when the daemon is killed.
	var n atomic.Int32
	hung := make(chan struct{})
	w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") || n.Add(1) < 3 {
			return false
		}
		rw.Header().Set("Content-Length", "100000")
		rw.Write([]byte("some"))
		rw.(http.Flusher).Flush()
		close(hung)
		<-r.Context().Done()
		return true
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }() // its store is gone
		_ = w.PullImage(ctx, ref, "", nil, nil)
	}()
	<-hung
	copied := w.snapshot()
	cancel()
	<-done
	w.store.Close()
	w.root = copied
	w.open()
	w.collect()
	w.same(before)
	w.reg.behind(nil)
	w.pull(ref)
	if got, _ := w.read(ref, "b"); got != "2" {
		t.Errorf("after the second pull the file is %q", got)
	}
}

func TestDeepImage(t *testing.T) {
	w := newWorld(t)
	var layers []v1.Layer
	for i := range 60 {
		layers = append(layers, layer(t, entry{name: fmt.Sprintf("f%d", i), text: fmt.Sprint(i)}, entry{name: "last", text: fmt.Sprint(i)}))
	}
	ref := w.reg.push("deep:1", imageOf(t, layers...))
	w.pull(ref)
	l, err := w.Layers(context.Background(), w.inspect(ref).ID)
	if err != nil || len(l.Dirs) != 60 {
		t.Fatalf("%d folders, %v", len(l.Dirs), err)
	}
	if got, _ := w.read(ref, "last"); got != "59" {
		t.Errorf("the topmost layer says %q", got)
	}
}

func TestPullByDigest(t *testing.T) {
	w := newWorld(t)
	img := imageOf(t, layer(t, entry{name: "f", text: "x"}))
	w.reg.push("app:1", img)
	d, _ := img.Digest()
	ref := w.reg.host + "/app@" + d.String()
	w.pull(ref)
	i := w.inspect(ref)
	if len(i.RepoTags) != 0 || !slices.Equal(i.RepoDigests, []string{ref}) {
		t.Errorf("tags %v, digests %v", i.RepoTags, i.RepoDigests)
	}
	if got := w.inspect(w.reg.host + "/app:ignored@" + d.String()).ID; got != i.ID {
		t.Error("name:tag@digest finds another image")
	}
}

func TestStalledRegistryIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.limits(50 * time.Millisecond)
	ref := w.reg.push("app:1", imageOf(t, layer(t, entry{name: "f", text: "x"})))
	w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		<-r.Context().Done()
		return true
	})
	w.refuse(ref, errs.Unavailable, "stopped sending")
}

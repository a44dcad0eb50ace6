package image_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"lus/internal/base/errs"
	model "lus/internal/model/image"
)

func TestAnIndexWithoutThisPlatformTellsWhichItHas(t *testing.T) {
	w := newWorld(t)
	add := func(arch, variant string) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: configured(t, imageOf(t, layer(t, entry{name: "arch", text: arch})), "linux", arch),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch, Variant: variant}}}
	}
	attestation := add("unknown", "")
	attestation.Descriptor = v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}, Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"}}
	ref := w.reg.pushIndex("app:1", mutate.AppendManifests(empty.Index, add("arm", "v7"), add("s390x", ""), attestation))
	w.refuse(ref, errs.NotFound, "no matching manifest for linux/amd64", "it is there for linux/arm/v7, linux/s390x; --platform chooses one")
	ref = w.reg.pushIndex("none:1", empty.Index)
	w.refuse(ref, errs.NotFound, "it has no image in it")
}

// manifests answers for every manifest with this one.
func (f *fakeRegistry) manifests(kind, text string) {
	f.behind(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		h, _, _ := v1.SHA256(strings.NewReader(text))
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Docker-Content-Digest", h.String())
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		if r.Method == http.MethodGet {
			fmt.Fprint(w, text)
		}
		return true
	})
}

// Manifests that are none, or of no kind that is taken.
func TestManifestsThatAreNotTaken(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.host + "/app:1"
	oci := string(types.OCIManifestSchema1)
	const d = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, c := range []struct {
		name, kind, text string
		want             errs.Kind
		says             string
	}{
		{"schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1}`, errs.Unsupported, "Docker's first image format"},
		{"a web page", "text/html", "<html>", errs.Unsupported, "is not an image"},
		{"no JSON", oci, "{", errs.Invalid, "is not valid"},
		{"a list", oci, "[]", errs.Invalid, "is not valid"},
		{"null", oci, "null", errs.Unsupported, ""},
		{"another type inside", oci, `{"mediaType":"application/vnd.oci.image.index.v1+json"}`, errs.Invalid, "calls itself"},
		{"an index too", oci, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + d + `","size":2},"layers":[],"manifests":[{}]}`, errs.Invalid, "at once"},
		{"a manifest too", string(types.OCIImageIndex), `{"manifests":[],"layers":[{}]}`, errs.Invalid, "at once"},
		{"huge", oci, `{"a":"` + strings.Repeat("x", 9<<20) + `"}`, errs.NotFound, ""},
		{"no config", oci, `{"schemaVersion":2,"layers":[]}`, errs.Unsupported, "artifact"},
		{"a config of no digest", oci, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"x","size":2}}`, errs.Invalid, "names a blob"},
		{"a config of a negative size", oci, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + d + `","size":-2}}`, errs.Invalid, "a size of -2"},
		{"a config of no end", oci, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + d + `","size":999999999999}}`, errs.Invalid, "are allowed"},
		{"an index of itself", string(types.OCIImageIndex), `{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"` + d + `","size":1}]}`, errs.Unavailable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner := &world{t: t, root: w.root, store: w.store, users: w.users, reg: w.reg, Service: w.Service}
			w.reg.manifests(c.kind, c.text)
			inner.refuse(ref, c.want, c.says)
		})
	}
}

func TestLayersOfOtherKinds(t *testing.T) {
	w := newWorld(t)
	plain := tarOf(t, entry{name: "f", text: "packed"})
	kinds := func(kind types.MediaType) string {
		l := layerOf{static.NewLayer(gz(plain), kind), hashOf(t, plain)}
		name := strings.NewReplacer("/", "-", "+", "-").Replace(strings.TrimPrefix(string(kind), "application/vnd."))
		return w.reg.push(name+":1", imageOf(t, l))
	}
	for _, kind := range []types.MediaType{types.OCILayer + "+encrypted", "application/vnd.erofs.layer.v1", "application/vnd.oci.image.layer.v2.tar"} {
		w.refuse(kinds(kind), errs.Unsupported, string(kind))
	}
	// Its owner forbids registries to have it, and this one has it all the same.
	own := kinds(types.OCILayer)
	img := imageOf(t, layerOf{static.NewLayer(gz(plain), types.OCILayer), hashOf(t, plain)})
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(raw), string(types.OCILayer), string(types.OCIRestrictedLayer))
	_, blob := partsOf(t, img)
	repo := strings.TrimPrefix(strings.TrimSuffix(own, ":1"), w.reg.host+"/")
	w.reg.manifests(string(types.OCIManifestSchema1), text)
	w.pull(strings.TrimSuffix(own, ":1") + ":foreign")
	if got, _ := w.read(strings.TrimSuffix(own, ":1")+":foreign", "f"); got != "packed" {
		t.Errorf("the file is %q", got)
	}
	// And one that has it not: nobody else is asked.
	if _, err := w.RemoveImage(context.Background(), strings.TrimSuffix(own, ":1")+":foreign", true, true); err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 1)
	text = strings.Replace(text, `"digest":"`+blob+`"`, `"digest":"`+blob+`","urls":["http://`+w.reg.host+`/elsewhere"]`, 1)
	w.reg.manifests(string(types.OCIManifestSchema1), text)
	serve := w.reg.door
	w.reg.behind(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/elsewhere" {
			asked <- struct{}{}
		}
		if strings.HasSuffix(r.URL.Path, blob) {
			rw.WriteHeader(http.StatusNotFound)
			return true
		}
		return serve(rw, r)
	})
	w.refuse(w.reg.host+"/"+repo+":foreign", errs.NotFound, "does not let registries have", "are not followed")
	if len(asked) > 0 {
		t.Error("the address in the manifest was asked")
	}
}

func TestAllTagsOfARepository(t *testing.T) {
	w := newWorld(t)
	for _, tag := range []string{"1", "2", "3"} {
		w.reg.push("app:"+tag, imageOf(t, layer(t, entry{name: "f", text: tag})))
	}
	page := func(link string, tags string) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/tags/list") {
				return false
			}
			if r.URL.Query().Get("last") == "2" {
				fmt.Fprint(rw, `{"tags":["3"]}`)
				return true
			}
			rw.Header().Set("Link", link)
			fmt.Fprint(rw, tags)
			return true
		}
	}
	ctx, repo := context.Background(), w.reg.host+"/app"
	for link, says := range map[string]string{
		"<http://192.0.2.1/v2/app/tags/list>; rel=\"next\"": "leads to http://192.0.2.1",
		"": "",
	} {
		w.reg.behind(page(link, `{"tags":["../x"]}`))
		if err := w.PullTags(ctx, repo, "", nil, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", link, err)
		}
	}
	w.reg.behind(page("", `{"tags":[]}`))
	if err := w.PullTags(ctx, repo, "", nil, nil); !errs.Is(err, errs.NotFound) {
		t.Errorf("no tags: %v", err)
	}
	w.reg.behind(page("</v2/app/tags/list?last=2&n=2>; rel=\"next\"", `{"tags":["1","2"]}`))
	if err := w.PullTags(ctx, repo, "", nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"1", "2", "3"} {
		if got, _ := w.read(repo+":"+tag, "f"); got != tag {
			t.Errorf("%s says %q", tag, got)
		}
	}
	if err := w.PullTags(ctx, w.reg.host+"/nobody", "", nil, nil); !errs.Is(err, errs.NotFound) {
		t.Errorf("no such repository: %v", err)
	}
}

// forgetful is a registry that takes no more of the tokens it gave, the first
// time that somebody asks for one of these.
type forgetful struct {
	mu     sync.Mutex
	at     []string // "METHOD part of the path"
	good   map[string]bool
	given  int
	forgot int
}

func (f *forgetful) door(host string) func(http.ResponseWriter, *http.Request) bool {
	f.good = map[string]bool{}
	return func(w http.ResponseWriter, r *http.Request) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.URL.Path == "/token" {
			f.given++
			f.good[fmt.Sprintf("Bearer t%d", f.given)] = true
			fmt.Fprintf(w, `{"token":"t%d","access_token":"t%d"}`, f.given, f.given)
			return true
		}
		f.at = slices.DeleteFunc(f.at, func(at string) bool {
			method, part, _ := strings.Cut(at, " ")
			hit := r.Method == method && strings.Contains(r.URL.Path, part)
			if hit {
				f.forgot++
				clear(f.good)
			}
			return hit
		})
		if f.good[r.Header.Get("Authorization")] {
			return false
		}
		challenge := fmt.Sprintf(`Bearer realm="http://%s/token",service="s"`, host)
		if r.Header.Get("Authorization") != "" {
			challenge += `,error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

// A token that ends in the middle is renewed, that of an upload included.
func TestTokensAreRenewedOnTheWay(t *testing.T) {
	w := newWorld(t)
	ref := w.reg.host + "/app:1"
	w.importTar(ref, tarOf(t, entry{name: "f", text: noise(3 << 20)}))
	auth := &model.Auth{Username: "ann", Password: "right"}
	for _, at := range []string{"HEAD /blobs/", "POST /uploads/", "PUT /uploads/", "PUT /manifests/"} {
		reg := newRegistry(t)
		f := &forgetful{at: []string{at}}
		reg.behind(f.door(reg.host))
		to := reg.host + "/app:1"
		if err := w.TagImage(context.Background(), ref, to); err != nil {
			t.Fatal(err)
		}
		if _, err := w.pushed(to, auth); err != nil || f.forgot != 1 {
			t.Errorf("%s: %v, tokens ended %d times", at, err, f.forgot)
		}
		if _, err := w.RemoveImage(context.Background(), to, true, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.pushed(ref, auth); err != nil {
		t.Fatal(err)
	}
	f := &forgetful{at: []string{"HEAD /manifests/", "GET /manifests/", "GET /blobs/"}}
	w.reg.behind(f.door(w.reg.host))
	if _, err := w.RemoveImage(context.Background(), ref, true, true); err != nil {
		t.Fatal(err)
	}
	if err := w.PullImage(context.Background(), ref, "", auth, nil); err != nil || f.forgot != 3 {
		t.Fatalf("%v after tokens ended %d times", err, f.forgot)
	}
	if got, _ := w.read(ref, "f"); got != noise(3<<20) {
		t.Error("what came back is something else")
	}
}

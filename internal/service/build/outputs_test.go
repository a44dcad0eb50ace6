package build_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/test/need"
)

func outputs(list ...build.Output) func(*build.Request) {
	return func(q *build.Request) { q.Outputs = list }
}

func output(kind string, pairs ...string) build.Output {
	o := build.Output{Type: kind, Attrs: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		o.Attrs[pairs[i]] = pairs[i+1]
	}
	return o
}

// A folder gets the files of a result beside its own, or, where that is asked
// for, instead of them.
func TestAFolderForAResult(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	out := folder(t, map[string]string{"a": "old", "mine": "m", "sub/mine": "m"})
	const text = "FROM scratch\nCOPY a /a\n"
	files := map[string]string{"a": "new"}
	b.file(text, files, outputs(output("local", "dest", out))).ok(t)
	for name, want := range map[string]string{"a": "new", "mine": "m", "sub/mine": "m"} {
		if got, err := os.ReadFile(filepath.Join(out, name)); string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
		}
	}
	b.file(text, files, outputs(output("local", "dest", out, "mode", "delete"))).ok(t)
	if got, err := os.ReadFile(filepath.Join(out, "a")); string(got) != "new" {
		t.Errorf("a holds %q (%v)", got, err)
	}
	for _, name := range []string{"mine", "sub"} {
		if _, err := os.Lstat(filepath.Join(out, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there (%v)", name, err)
		}
	}
	wantInvalid(t, b.file(text, files, outputs(output("local", "dest", out, "mode", "move"))).err, "copy or delete")
}

// index reads what an OCI layout names.
func index(t *testing.T, dir string) (found ocispec.Index) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	must(t, err)
	must(t, json.Unmarshal(text, &found))
	return found
}

// An OCI layout has what it names, whatever else is made of the result.
func TestALayoutBesideAnotherOutput(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	dir := t.TempDir()
	layout := filepath.Join(dir, "layout")
	b.file("FROM busybox\nCOPY a /a\n", map[string]string{"a": "A"},
		outputs(output("oci", "tar", "false", "dest", layout), output("oci", "dest", filepath.Join(dir, "app.tar"), "compression", "zstd", "force-compression", "true"))).ok(t)
	for _, m := range index(t, layout).Manifests {
		if _, err := os.Stat(filepath.Join(layout, "blobs", m.Digest.Algorithm().String(), m.Digest.Encoded())); err != nil {
			t.Errorf("what it names it has not: %v", err)
		}
	}
}

// A question builds nothing, and where the answer would go to is none of its
// concern.
func TestAQuestionWithAnOutput(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	b.file("FROM busybox\n", nil, outputs(output("oci", "tar", "false", "dest", filepath.Join(t.TempDir(), "layout"))),
		func(q *build.Request) { q.Call = "check" }).ok(t)
}

// A cache in a folder is that of the digest, where one is given.
func TestACacheByItsDigest(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	kept := filepath.Join(t.TempDir(), "cache")
	var digests []string
	const text = "FROM busybox\nARG N\nRUN echo $N > /n\n"
	with := func(n string) func(*build.Request) {
		return func(q *build.Request) { q.Args = map[string]*string{"N": &n} }
	}
	for _, n := range []string{"1", "2"} {
		b.file(text, nil, with(n), func(q *build.Request) { q.CacheTo = []build.Output{output("local", "dest", kept)} }).ok(t)
		digests = append(digests, index(t, kept).Manifests[0].Digest.String())
	}
	_, err := b.Prune(t.Context(), build.Prune{All: true})
	must(t, err)
	r := b.file(text, nil, with("1"), func(q *build.Request) {
		q.CacheFrom = []build.Output{output("local", "src", kept, "digest", digests[0])}
	}).ok(t)
	wantCached(t, r.output, "RUN echo", true)
}

// A context stands for an image by the name that FROM has for it, with its tag.
func TestAContextForAnImage(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	dir := folder(t, map[string]string{"f": "from the side"})
	r := b.file("FROM example.com/base:1.0\nCOPY --from=side:2 f /f\nCOPY --from=plain f /g\n", nil, func(q *build.Request) {
		q.Contexts = map[string]string{"example.com/base:1.0": "docker-image://busybox", "side:2": dir, "plain:latest": dir}
	}).ok(t)
	b.wantFile(r.id, "f", "from the side")
	b.wantFile(r.id, "g", "from the side")
	for _, name := range []string{"", "Upper", "a,b", "a::b", "context", "dockerfile"} {
		wantInvalid(t, b.file("FROM busybox\n", nil, func(q *build.Request) { q.Contexts = map[string]string{name: dir} }).err, "for a context")
	}
}

// An image of the store keeps the times that its files have: where they are to be
// others it goes elsewhere.
func TestTimesAreRewrittenElsewhere(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	const text = "FROM busybox\nCOPY a /a\n"
	files, epoch := map[string]string{"a": "A"}, "1000000000"
	dated := func(q *build.Request) { q.Args = map[string]*string{"SOURCE_DATE_EPOCH": &epoch} }
	wantKind(t, b.file(text, files, dated, outputs(output("image", "rewrite-timestamp", "true"))).err, errs.Unsupported, "type=oci")
	b.file(text, files, dated, outputs(output("image", "rewrite-timestamp", "false"))).ok(t)
	name := registryWith(t, need.BusyboxTar(t)) + "/dated:1"
	b.file(text, files, dated, outputs(output("registry", "name", name, "rewrite-timestamp", "true"))).ok(t)
}

// A cache that goes with an image needs the tars of its layers while it is made,
// and the image holds none of them.
func TestACacheInAnImageHoldsNoTars(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	on := "1"
	for range 2 { // the second comes from the cache
		b.file("FROM busybox\nRUN echo a > /a\n", nil, func(q *build.Request) { q.Args = map[string]*string{"BUILDKIT_INLINE_CACHE": &on} }).ok(t)
		img, err := b.store.ImageStore().Get(t.Context(), "docker.io/library/app:latest")
		must(t, err)
		if text := string(b.rawConfig(img.Labels["lus/config"])); !strings.Contains(text, "moby.buildkit.cache.v0") {
			t.Errorf("no cache is in %s", text)
		}
		info, err := b.store.ContentStore().Info(t.Context(), img.Target.Digest)
		must(t, err)
		for label, held := range info.Labels {
			if strings.HasPrefix(label, "containerd.io/gc.ref.content.l.") {
				t.Errorf("the image holds the tar %s", held)
			}
		}
	}
}

package registry_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	model "lus/internal/model/registry"
	"lus/internal/service/registry"
	"lus/internal/store/sqlite"
)

// here reports whether the store itself has the blob.
func (w *world) here(text string) bool {
	w.t.Helper()
	f, err := w.store.OpenBlob(w.t.Context(), digest.FromString(text))
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

func TestGarbageIsWhatNoRepositoryLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("me", "me/app", "1", "shared", "mine")
	w.push("you", "you/app", "1", "shared")
	w.blob("me", "me/app", "loose")
	collect := func(grace time.Duration, untagged bool) model.Collected {
		t.Helper()
		c, err := w.Collect(t.Context(), grace, untagged)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := collect(time.Hour, false); c.Blobs != 0 || !w.here("loose") {
		t.Errorf("within grace: %+v", c)
	}
	// Who asks for it may build on it: that begins the time of grace anew.
	w.ahead.Store(int64(50 * time.Minute))
	collect(time.Hour, false)
	w.ahead.Store(int64(2 * time.Hour))
	if c := collect(time.Hour, false); c.Blobs != 1 || c.Bytes != 5 || w.here("loose") {
		t.Errorf("after it: %+v", c)
	}
	if err := w.Remove(t.Context(), "me/app", ""); err != nil {
		t.Fatal(err)
	}
	if c := collect(time.Hour, false); w.here("mine") || !w.here("shared") || c.Blobs == 0 {
		t.Errorf("one repository: %+v", c)
	}
	w.want(http.StatusOK, "", "GET", "/v2/you/app/blobs/"+dig("shared"), "")
	w.want(http.StatusAccepted, "you", "DELETE", "/v2/you/app/manifests/1", "")
	w.ahead.Store(int64(4 * time.Hour))
	if collect(time.Hour, false); !w.here("shared") {
		t.Error("a manifest without a tag was taken unasked")
	}
	if c := collect(time.Hour, true); c.Manifests != 1 || w.here("shared") {
		t.Errorf("untagged: %+v", c)
	}
	if st, err := w.Status(t.Context()); err != nil || st.Repositories != 0 || st.Blobs != 0 {
		t.Errorf("what is left: %+v %v", st, err)
	}
}

// What is there outlives the process, and what came in chunks can be gone on with.
// An upload of which nothing came is told to be unknown, and the bytes of one that
// has no row go.
func TestARestartKeepsWhatCame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.push("me", "me/app", "1", "one")
	at, ended, idle := w.begin("me", "me/app"), w.begin("me", "me/app"), w.begin("me", "me/app")
	w.want(http.StatusAccepted, "me", "PATCH", at, "half")
	w.want(http.StatusAccepted, "me", "PATCH", idle, "nobody comes back")
	w.want(http.StatusAccepted, "me", "PATCH", ended, "ended")
	w.want(http.StatusCreated, "me", "PUT", ended+"?digest="+dig("ended"), "")
	never := w.begin("me", "me/app")
	w.close()
	w.open(registry.Limits{})
	for _, gone := range []string{never, ended} {
		if a := w.want(http.StatusNotFound, "me", "PATCH", gone, "rest"); a.code() != "BLOB_UPLOAD_UNKNOWN" {
			t.Error(a.body)
		}
	}
	if _, err := w.store.GarbageCollect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := w.want(http.StatusNoContent, "me", "GET", at, ""); a.header.Get("Range") != "0-3" {
		t.Errorf("where to go on: %v", a.header)
	}
	w.want(http.StatusAccepted, "me", "PATCH", at, "rest", "Content-Range", "4-7")
	w.close() // and once more, when the digest has to be made of both parts
	w.open(registry.Limits{})
	w.want(http.StatusForbidden, "you", "PUT", at+"?digest="+dig("halfrest"), "")
	w.want(http.StatusCreated, "me", "PUT", at+"?digest="+dig("halfrest"), "")
	w.want(http.StatusOK, "", "GET", "/v2/me/app/blobs/"+dig("halfrest"), "")
	// Whom nobody asks for after the restart ends as well.
	w.ahead.Store(int64(2 * time.Hour))
	if c, err := w.Collect(t.Context(), 24*time.Hour, false); err != nil || c.Uploads != 1 {
		t.Errorf("%+v %v", c, err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, "images/content/ingest/*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	w.close()
	w.open(registry.Limits{})
	w.want(http.StatusNotFound, "me", "GET", idle, "")
	if a := w.want(http.StatusOK, "", "GET", "/v2/me/app/manifests/1", ""); a.body != m {
		t.Error(a.body)
	}
	w.want(http.StatusOK, "", "GET", "/v2/me/app/blobs/"+dig("one"), "")
	w.want(http.StatusNotFound, "", "GET", "/v2/me/app/blobs/"+dig("half"), "")
}

// A blob that the disk lost is not said to be there, so that a push brings it back.
func TestALostBlobIsPushedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("me", "me/app", "1", "one")
	if err := w.store.Drop(t.Context(), "lus-registry", digest.FromString("one")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.GarbageCollect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"HEAD", "GET"} {
		w.want(http.StatusNotFound, "", method, "/v2/me/app/blobs/"+dig("one"), "")
	}
	w.push("me", "me/app", "1", "one")
	w.want(http.StatusOK, "", "GET", "/v2/me/app/blobs/"+dig("one"), "")
}

func TestAQuotaBoundsWhatIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := func(scope string, n int64) {
		t.Helper()
		if err := w.SetQuota(t.Context(), scope, n); err != nil {
			t.Fatal(err)
		}
	}
	big := strings.Repeat("x", 1000)
	set("me", 1500)
	w.blob("me", "me/app", big)
	w.blob("me", "me/other", big) // the same bytes, once
	a := w.want(http.StatusForbidden, "me", "POST", "/v2/me/other/blobs/uploads/?digest="+dig(big+"y"), big+"y")
	if a.code() != "DENIED" || !strings.Contains(a.body, "quota of me") {
		t.Error(a.body)
	}
	at := w.begin("me", "me/other")
	w.want(http.StatusForbidden, "me", "PATCH", at, big+big) // more than there could ever be
	w.want(http.StatusNotFound, "me", "GET", at, "")         // it ended
	w.blob("you", "you/app", big+"y")
	w.want(http.StatusForbidden, "me", "POST", "/v2/me/app/blobs/uploads/?mount="+dig(big+"y")+"&from=you/app", "")
	list, err := w.Quotas(t.Context())
	if err != nil || len(list) != 1 || list[0].Used != 1000 || list[0].Limit != 1500 {
		t.Errorf("%+v %v", list, err)
	}
	// Each account, but those with a quota of their own.
	set("*", 100)
	w.want(http.StatusForbidden, "you", "POST", "/v2/you/app/blobs/uploads/?digest="+dig(big), big)
	w.blob("me", "me/app", strings.Repeat("z", 400))
	set("*", -1)
	w.blob("you", "you/app", big)
	if err := w.SetQuota(t.Context(), "*", -1); !errs.Is(err, errs.NotFound) {
		t.Error(err)
	}
	if err := w.SetQuota(t.Context(), "../x", 1); !errs.Is(err, errs.Invalid) {
		t.Error(err)
	}
}

// A push from this host's own store makes rows and sends nothing.
func TestWhatTheStoreHasIsLinked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("me", "me/app", "1", "one")
	m := manifest("one")
	me := model.Who{Name: "you"}
	if _, err := w.Link(t.Context(), me, "me/app", "2", "", []byte(m)); !errs.Is(err, errs.Denied) {
		t.Errorf("into another's: %v", err)
	}
	if had, err := w.Link(t.Context(), me, "you/app", "2", "", []byte(m)); err != nil || len(had) > 0 {
		t.Fatal(err)
	}
	w.want(http.StatusOK, "", "GET", "/v2/you/app/manifests/2", "")
	w.want(http.StatusOK, "", "GET", "/v2/you/app/blobs/"+dig("one"), "")
	if had, err := w.Link(t.Context(), me, "you/app", "3", "", []byte(m)); err != nil || !slices.Contains(had, digest.Digest(dig("one"))) {
		t.Errorf("the second time it had %v before: %v", had, err)
	}
	if _, err := w.Link(t.Context(), me, "you/none", "2", "", []byte(manifest("never"))); !errs.Is(err, errs.Invalid) {
		t.Errorf("what is not here: %v", err)
	}
	w.want(http.StatusNotFound, "", "GET", "/v2/you/none/tags/list", "")
	if err := w.SetQuota(t.Context(), "you", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Link(t.Context(), me, "you/third", "2", ocispec.MediaTypeImageManifest, []byte(m)); !errs.Is(err, errs.Denied) {
		t.Errorf("beyond the quota: %v", err)
	}
	w.want(http.StatusNotFound, "", "GET", "/v2/you/third/tags/list", "")
}

func TestSearchTellsWhatMayBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("me", "me/app", "1", "one")
	w.push("me", "me/secret-app", "1", "one")
	for user, want := range map[string]int{"": 1, "me": 2} {
		found, err := w.Search(t.Context(), model.Who{Name: user}, "APP", 10)
		if err != nil || len(found) != want || found[0].Name != "me/app" || found[0].Description != "tags: 1" {
			t.Errorf("%q: %+v %v", user, found, err)
		}
	}
}

// What the newest image says of itself is told, and nothing that another repository
// alone has.
func TestSearchTellsDescriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	image := func(repo, tag, config string, annotations map[string]string, media string, children ...string) string {
		t.Helper()
		var m any
		if media == ocispec.MediaTypeImageIndex {
			index := ocispec.Index{MediaType: media, Annotations: annotations}
			index.SchemaVersion = 2
			for _, c := range children {
				index.Manifests = append(index.Manifests, descriptor(ocispec.MediaTypeImageManifest, c))
			}
			m = index
		} else {
			w.blob("me", repo, config)
			one := ocispec.Manifest{MediaType: media, Config: descriptor(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{}, Annotations: annotations}
			one.SchemaVersion = 2
			m = one
		}
		text := encode(m)
		w.want(http.StatusCreated, "me", "PUT", "/v2/"+repo+"/manifests/"+tag, text, "Content-Type", media)
		return text
	}
	labelled := func(text string) string {
		return encode(map[string]any{"config": map[string]any{"Labels": map[string]string{ocispec.AnnotationDescription: text}}})
	}
	one := image("me/label", "1", labelled("A\x1b[2J tool \n of\tmine"), nil, ocispec.MediaTypeImageManifest)
	image("me/annotated", "1", labelled("of the label"), map[string]string{ocispec.AnnotationDescription: "of the manifest"}, ocispec.MediaTypeImageManifest)
	w.ahead.Store(int64(time.Minute))
	image("me/label", "2", "", nil, ocispec.MediaTypeImageIndex, one)
	image("me/long", "1", labelled(strings.Repeat("é", 1000)), nil, ocispec.MediaTypeImageManifest)
	image("me/none", "1", labelled(""), nil, ocispec.MediaTypeImageManifest)
	image("me/odd", "1", `{"config":{"Labels":7}}`, nil, ocispec.MediaTypeImageManifest)
	image("me/huge", "1", labelled(strings.Repeat("x", 300<<10)), nil, ocispec.MediaTypeImageManifest)
	found, err := w.Search(t.Context(), model.Who{Root: true}, "me/", 10)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"me/label": "A[2J tool of mine", "me/annotated": "of the manifest", "me/long": strings.Repeat("é", 200),
		"me/none": "tags: 1", "me/odd": "tags: 1", "me/huge": "tags: 1",
	}
	for _, f := range found {
		if f.Description != want[f.Name] {
			t.Errorf("%s says %q, want %q", f.Name, f.Description, want[f.Name])
		}
	}
}

// A database of the first version gets what the later steps add.
func TestMigrationsKeepWhatWasThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lus.db")
	all := registry.Migrations()
	for n := 1; n <= len(all); n++ {
		db, err := sqlite.Open(path, all[:n])
		if err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

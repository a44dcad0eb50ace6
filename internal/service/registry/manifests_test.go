package registry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestManifestsThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("me", "me/app", "1", "one")
	good := manifest("one")
	index := ocispec.MediaTypeImageIndex
	for name, c := range map[string]struct {
		mediaType, body string
		status          int
		code            string
	}{
		"no JSON":                 {ocispec.MediaTypeImageManifest, "{", 400, "MANIFEST_INVALID"},
		"another type":            {index, good, 400, "MANIFEST_INVALID"},
		"an unknown type":         {"text/plain", strings.Replace(good, ocispec.MediaTypeImageManifest, "text/plain", 1), 400, "MANIFEST_INVALID"},
		"a type that is none":     {"///", good, 400, "MANIFEST_INVALID"},
		"two things at once":      {"", `{"schemaVersion":2,"mediaType":"` + index + `","manifests":[],"layers":[]}`, 400, "MANIFEST_INVALID"},
		"schema version 1":        {"", `{"schemaVersion":1,"fsLayers":[]}`, 400, "MANIFEST_INVALID"},
		"no config":               {"", `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","layers":[]}`, 400, "MANIFEST_INVALID"},
		"a digest that is a path": {"", strings.Replace(good, dig("one"), "sha256:../../../../etc/passwd", 1), 400, "MANIFEST_INVALID"},
		"a size below zero":       {"", strings.Replace(good, `"size":3`, `"size":-3`, 1), 400, "MANIFEST_INVALID"},
		"a blob not here":         {"", manifest("two"), 400, "MANIFEST_BLOB_UNKNOWN"},
		"a child not here":        {"", encode(ocispec.Index{MediaType: index, Manifests: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageManifest, "x")}}), 400, "MANIFEST_INVALID"},
		"too large":               {"", good + strings.Repeat(" ", 4<<20), 413, "SIZE_INVALID"},
		"a hundred thousand [":    {"", strings.Repeat("[", 100000), 400, "MANIFEST_INVALID"},
	} {
		a := w.do("me", "PUT", "/v2/me/app/manifests/bad", c.body, "Content-Type", c.mediaType)
		if a.status != c.status || a.code() != c.code {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := w.want(400, "me", "PUT", "/v2/me/app/manifests/"+dig("other"), good); a.code() != "DIGEST_INVALID" {
		t.Error(a.body)
	}
	w.want(http.StatusNotFound, "", "GET", "/v2/me/app/manifests/bad", "")
}

func TestNamesThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"Me/app", "me//app", "../etc", "me/../../etc", "me/%2e%2e/x", "me/.app", "me/app_", "me/a___b", "me/a..b", strings.Repeat("a", 256), "me/a b", "me/\x00", "é"} {
		name = strings.NewReplacer(" ", "%20", "\x00", "%00").Replace(name)
		for _, c := range [][2]string{{"POST", "/blobs/uploads/"}, {"GET", "/tags/list"}, {"PUT", "/manifests/1"}, {"GET", "/blobs/" + dig("x")}} {
			a := w.do("root", c[0], "/v2/"+name+c[1], "")
			if a.status != http.StatusBadRequest && a.status != http.StatusNotFound || a.status == http.StatusBadRequest && a.code() != "NAME_INVALID" {
				t.Errorf("%s %s%s: %d %s", c[0], name, c[1], a.status, a.body)
			}
		}
	}
	for _, tag := range []string{".hidden", "-x", "a%2Fb", strings.Repeat("a", 129), "a%20b"} {
		if a := w.do("me", "PUT", "/v2/me/app/manifests/"+tag, manifest()); a.status != 400 && a.status != 404 {
			t.Errorf("tag %s: %d %s", tag, a.status, a.body)
		}
	}
	// Names may be what the API's own words are.
	w.push("blobs", "blobs/uploads", "list", "one")
	w.push("tags", "tags/list/manifests", "blobs", "one")
	w.want(http.StatusOK, "", "GET", "/v2/tags/list/manifests/tags/list", "")
	w.want(http.StatusOK, "", "GET", "/v2/blobs/uploads/manifests/list", "")
}

func TestListsHavePages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []string
	for i := range 7 {
		tag := fmt.Sprint("v", i)
		w.push("me", "me/app", tag, "one")
		w.push("me", "me/app"+tag, "1", "one")
		all = append(all, tag)
	}
	for _, path := range []string{"/v2/me/app/tags/list", "/v2/_catalog"} {
		var got int
		at := path + "?n=3"
		for pages := 0; at != ""; pages++ {
			a := w.want(http.StatusOK, "", "GET", at, "")
			got += strings.Count(a.body, "v")
			link := a.header.Get("Link")
			at = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
			if pages > 5 {
				t.Fatal("without end")
			}
		}
		if got != len(all) {
			t.Errorf("%s: %d of %d", path, got, len(all))
		}
	}
	if a := w.want(http.StatusOK, "", "GET", "/v2/me/app/tags/list?n=0", ""); !strings.Contains(a.body, `"tags":[]`) {
		t.Error(a.body)
	}
	w.want(http.StatusNotFound, "", "GET", "/v2/me/none/tags/list", "")
	if a := w.do("", "GET", "/v2/me/app/tags/list?n=-1", ""); a.status < 400 || a.status >= 500 {
		t.Error(a.status)
	}
}

func TestReferrersAreFoundByTheirSubject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	subject := w.push("me", "me/app", "1", "one")
	for _, kind := range []string{"sbom", "signature"} {
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/" + kind, Config: descriptor("application/x", "{}"), Annotations: map[string]string{"kind": kind}}
		m.SchemaVersion = 2
		m.Layers = []ocispec.Descriptor{descriptor("text/plain", "one")}
		s := descriptor(ocispec.MediaTypeImageManifest, subject)
		m.Subject = &s
		a := w.want(http.StatusCreated, "me", "PUT", "/v2/me/app/manifests/"+dig(encode(m)), encode(m), "Content-Type", m.MediaType)
		if a.header.Get("Oci-Subject") != dig(subject) {
			t.Error(a.header)
		}
	}
	a := w.want(http.StatusOK, "", "GET", "/v2/me/app/referrers/"+dig(subject), "")
	if !strings.Contains(a.body, "application/sbom") || !strings.Contains(a.body, `"kind":"signature"`) || a.header.Get("Content-Type") != ocispec.MediaTypeImageIndex {
		t.Error(a.header, a.body)
	}
	a = w.want(http.StatusOK, "", "GET", "/v2/me/app/referrers/"+dig(subject)+"?artifactType=application/sbom", "")
	if strings.Contains(a.body, "signature") || a.header.Get("Oci-Filters-Applied") != "artifactType" {
		t.Error(a.header, a.body)
	}
	if a := w.want(http.StatusOK, "", "GET", "/v2/me/app/referrers/"+dig("none"), ""); !strings.Contains(a.body, `"manifests":[]`) {
		t.Error(a.body)
	}
	// What refers to an image keeps as long as the image does.
	if _, err := w.Collect(t.Context(), 0, true); err != nil {
		t.Fatal(err)
	}
	w.want(http.StatusOK, "", "GET", "/v2/me/app/referrers/"+dig(subject), "")
}

func TestWhatIsDeletedIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.push("me", "me/app", "1", "one")
	w.push("me", "me/app", "2", "one")
	w.want(http.StatusForbidden, "you", "DELETE", "/v2/me/app/manifests/1", "")
	w.want(http.StatusUnauthorized, "", "DELETE", "/v2/me/app/manifests/1", "")
	w.want(http.StatusAccepted, "me", "DELETE", "/v2/me/app/manifests/1", "")
	w.want(http.StatusNotFound, "me", "GET", "/v2/me/app/manifests/1", "")
	w.want(http.StatusOK, "me", "GET", "/v2/me/app/manifests/2", "")
	w.want(http.StatusMethodNotAllowed, "me", "DELETE", "/v2/me/app/blobs/"+dig("one"), "") // the manifest names it
	w.want(http.StatusAccepted, "me", "DELETE", "/v2/me/app/manifests/"+dig(m), "")
	w.want(http.StatusNotFound, "me", "GET", "/v2/me/app/manifests/2", "")
	w.want(http.StatusAccepted, "me", "DELETE", "/v2/me/app/blobs/"+dig("one"), "")
	w.want(http.StatusNotFound, "me", "HEAD", "/v2/me/app/blobs/"+dig("one"), "")
	w.want(http.StatusNotFound, "me", "DELETE", "/v2/me/app/blobs/"+dig("one"), "")
	w.want(http.StatusNotFound, "me", "DELETE", "/v2/me/app/manifests/2", "")
}

package registry_test

import (
	"net/http"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestWhatWasPushedIsPulled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.push("me", "me/app", "1", "one", "two")
	for _, ref := range []string{"1", dig(m)} {
		got := w.want(http.StatusOK, "", "GET", "/v2/me/app/manifests/"+ref, "")
		if got.body != m || got.header.Get("Docker-Content-Digest") != dig(m) || got.header.Get("Content-Type") != ocispec.MediaTypeImageManifest {
			t.Errorf("%s: %v %s", ref, got.header, got.body)
		}
		head := w.want(http.StatusOK, "", "HEAD", "/v2/me/app/manifests/"+ref, "")
		if head.body != "" || head.header.Get("Content-Length") != got.header.Get("Content-Length") {
			t.Errorf("HEAD of %s: %v", ref, head.header)
		}
	}
	got := w.want(http.StatusOK, "", "GET", "/v2/me/app/blobs/"+dig("one"), "")
	if got.body != "one" || got.header.Get("Docker-Content-Digest") != dig("one") {
		t.Errorf("%v %q", got.header, got.body)
	}
	part := w.want(http.StatusPartialContent, "", "GET", "/v2/me/app/blobs/"+dig("two"), "", "Range", "bytes=1-")
	if part.body != "wo" {
		t.Errorf("a part: %q", part.body)
	}
}

// Nothing is served merely because the store has it.
func TestADigestIsSeenWhereItIsLinkedOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.push("me", "me/secret", "1", "one")
	for _, path := range []string{"/v2/you/app/blobs/" + dig("one"), "/v2/you/app/manifests/" + dig(m), "/v2/none/blobs/" + dig("one")} {
		for _, method := range []string{"GET", "HEAD"} {
			w.want(http.StatusNotFound, "you", method, path, "")
		}
	}
	w.want(http.StatusUnauthorized, "", "GET", "/v2/me/secret/manifests/1", "")
	w.want(http.StatusForbidden, "you", "GET", "/v2/me/secret/manifests/1", "")
	// The answer is the same whether it exists or not.
	for _, d := range []string{dig("one"), dig("never")} {
		a := w.want(http.StatusAccepted, "you", "POST", "/v2/you/app/blobs/uploads/?mount="+d+"&from=me/secret", "")
		if a.header.Get("Docker-Content-Digest") != "" {
			t.Errorf("a mount tells: %v", a.header)
		}
		if a := w.do("you", "HEAD", "/v2/me/secret/blobs/"+d, ""); a.status != http.StatusForbidden {
			t.Errorf("%s: %d", d, a.status)
		}
	}
	if a := w.want(http.StatusOK, "you", "GET", "/v2/_catalog", ""); strings.Contains(a.body, "secret") {
		t.Errorf("the catalogue tells: %s", a.body)
	}
	if a := w.want(http.StatusOK, "me", "GET", "/v2/_catalog", ""); !strings.Contains(a.body, "me/secret") {
		t.Errorf("the owner's catalogue: %s", a.body)
	}
	// A manifest cannot be made of what another has.
	w.blob("you", "you/app", "{}")
	a := w.want(http.StatusBadRequest, "you", "PUT", "/v2/you/app/manifests/1", manifest("one"), "Content-Type", ocispec.MediaTypeImageManifest)
	if a.code() != "MANIFEST_BLOB_UNKNOWN" {
		t.Error(a.body)
	}
}

func TestABlobIsMountedFromWhatMayBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("me", "me/app", "1", "one")
	a := w.want(http.StatusCreated, "you", "POST", "/v2/you/app/blobs/uploads/?mount="+dig("one")+"&from=me/app", "")
	if a.header.Get("Location") != "/v2/you/app/blobs/"+dig("one") {
		t.Error(a.header)
	}
	w.want(http.StatusOK, "", "GET", "/v2/you/app/blobs/"+dig("one"), "")
}

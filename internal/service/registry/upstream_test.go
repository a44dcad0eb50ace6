package registry_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lus/internal/base/errs"
	model "lus/internal/model/registry"
	"lus/internal/service/registry"
)

// way leads to another registry; it can be cut, and counts what is asked.
type way struct {
	url  string
	cut  atomic.Bool
	gets sync.Map // path -> *atomic.Int32
}

func wayTo(t *testing.T, w *world) *way {
	t.Helper()
	target, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	y := &way{}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if y.cut.Load() {
			panic(http.ErrAbortHandler)
		}
		n, _ := y.gets.LoadOrStore(r.Method+" "+r.URL.Path, new(atomic.Int32))
		n.(*atomic.Int32).Add(1)
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	y.url = srv.URL
	return y
}

func (y *way) count(what string) int {
	n, ok := y.gets.Load(what)
	if !ok {
		return 0
	}
	return int(n.(*atomic.Int32).Load())
}

func TestAnotherRegistryIsFetchedFromOnceAndKept(t *testing.T) {
	t.Parallel()
	far, w := newWorld(t), newWorld(t)
	y := wayTo(t, far)
	m := far.push("me", "me/app", "1", "one")
	if err := w.SetUpstream(t.Context(), model.Upstream{Prefix: "far", URL: y.url}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if a := w.want(http.StatusOK, "", "GET", "/v2/far/me/app/manifests/1", ""); a.body != m {
				t.Error(a.body)
			}
			if a := w.want(http.StatusOK, "", "GET", "/v2/far/me/app/blobs/"+dig("one"), ""); a.body != "one" {
				t.Error(a.body)
			}
		})
	}
	wg.Wait()
	if n := y.count("GET /v2/me/app/blobs/" + dig("one")); n != 1 {
		t.Errorf("the blob was fetched %d times", n)
	}
	// A tag that moved is seen.
	moved := far.push("me", "me/app", "1", "two")
	if a := w.want(http.StatusOK, "", "GET", "/v2/far/me/app/manifests/1", ""); a.body != moved {
		t.Errorf("a tag that moved: %s", a.body)
	}
	// What was fetched is there when the other is gone; what was not is told so.
	y.cut.Store(true)
	if a := w.want(http.StatusOK, "", "GET", "/v2/far/me/app/manifests/1", ""); a.body != moved {
		t.Error(a.body)
	}
	w.want(http.StatusOK, "", "GET", "/v2/far/me/app/manifests/"+dig(m), "")
	w.want(http.StatusOK, "", "GET", "/v2/far/me/app/blobs/"+dig("one"), "")
	for range 2 { // the second time it is not asked, and why it failed is still known
		if a := w.want(http.StatusServiceUnavailable, "", "GET", "/v2/far/me/app/blobs/"+dig("two"), ""); !strings.Contains(a.body, y.url) || !strings.Contains(a.body, "EOF") {
			t.Error(a.body)
		}
	}
	y.cut.Store(false)
	w.ahead.Store(int64(time.Minute))
	w.want(http.StatusOK, "", "GET", "/v2/far/me/app/blobs/"+dig("two"), "")
	w.want(http.StatusNotFound, "", "GET", "/v2/far/me/none/manifests/1", "")
	w.want(http.StatusNotFound, "", "GET", "/v2/far/me/app/blobs/"+dig("never"), "")
}

// Access is asked before another registry is.
func TestWhatIsFetchedFromElsewhereIsNotPushedTo(t *testing.T) {
	t.Parallel()
	far, w := newWorld(t), newWorld(t)
	y := wayTo(t, far)
	far.push("me", "me/app", "1", "one")
	far.push("me", "me/secret", "1", "one")
	w.push("me", "me/own", "1", "mine")
	if err := w.SetUpstream(t.Context(), model.Upstream{Prefix: "me", URL: y.url}); !errs.Is(err, errs.Conflict) {
		t.Errorf("over what was pushed: %v", err)
	}
	if err := w.SetUpstream(t.Context(), model.Upstream{URL: y.url}); err != nil { // the whole of it
		t.Fatal(err)
	}
	w.want(http.StatusOK, "", "GET", "/v2/me/app/manifests/1", "")
	w.want(http.StatusForbidden, "you", "GET", "/v2/me/secret/manifests/1", "")
	a := w.want(http.StatusForbidden, "me", "POST", "/v2/me/app/blobs/uploads/", "")
	if !strings.Contains(a.body, "fetched from") {
		t.Error(a.body)
	}
	w.push("me", "me/own", "2", "mine")
	w.push("me", "me/new", "1", "mine")
	far.push("me", "me/new", "2", "theirs")
	w.want(http.StatusNotFound, "", "GET", "/v2/me/new/manifests/2", "") // ours, and not theirs
	if err := w.RemoveUpstream(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	w.want(http.StatusOK, "", "GET", "/v2/me/app/manifests/1", "")
	for _, bad := range []string{"", "ftp://x", "https://", "http://u:p@host", "x"} {
		if err := w.SetUpstream(t.Context(), model.Upstream{Prefix: "p", URL: bad}); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A big blob is sent on while it comes, to all who ask, and only to its last byte
// when it is whole. What is broken off is gone on with the next time.
func TestABlobIsSentOnWhileItComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registry.Limits{Stall: time.Second})
	text := strings.Repeat("0123456789abcdef", 256<<10) // 4 MB
	m, half := manifest(text), len(text)/2
	var mu sync.Mutex
	var ranges []string
	var healthy atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			rw.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			rw.Header().Set("Docker-Content-Digest", dig(m))
			http.ServeContent(rw, r, "", time.Time{}, strings.NewReader(m))
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // else nobody sees that the client is gone
		if r.Method == http.MethodHead {
			rw.Header().Set("Content-Length", strconv.Itoa(len(text)))
			return
		}
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		mu.Unlock()
		if healthy.Load() {
			http.ServeContent(rw, r, "", time.Time{}, strings.NewReader(text))
			return
		}
		if r.Header.Get("Range") == "" {
			rw.Header().Set("Content-Length", strconv.Itoa(len(text)))
			_, _ = io.WriteString(rw, text[:half])
			_ = http.NewResponseController(rw).Flush()
		}
		<-r.Context().Done()
	}))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	if err := w.SetUpstream(t.Context(), model.Upstream{Prefix: "far", URL: srv.URL}); err != nil {
		t.Fatal(err)
	}
	w.want(http.StatusOK, "", "GET", "/v2/far/x/manifests/1", "")
	get := func() *http.Response {
		t.Helper()
		resp, err := http.Get(w.url + "/v2/far/x/blobs/" + dig(text))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if resp.StatusCode != http.StatusOK || resp.ContentLength != int64(len(text)) {
			t.Fatalf("%s, of %d bytes", resp.Status, resp.ContentLength)
		}
		return resp
	}
	for _, resp := range []*http.Response{get(), get()} {
		part := make([]byte, half)
		if _, err := io.ReadFull(resp.Body, part); err != nil || string(part) != text[:half] {
			t.Fatalf("what is there: %v", err)
		}
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("what broke off looks whole")
		}
	}
	if a := w.want(http.StatusServiceUnavailable, "", "GET", "/v2/far/x/blobs/"+dig(text), ""); !strings.Contains(a.body, "stopped sending") {
		t.Error(a.body)
	}
	healthy.Store(true)
	w.ahead.Store(int64(time.Minute))
	if a := w.want(http.StatusOK, "", "GET", "/v2/far/x/blobs/"+dig(text), ""); a.body != text {
		t.Errorf("%d bytes, not the right %d", len(a.body), len(text))
	}
	mu.Lock()
	defer mu.Unlock()
	if last := ranges[len(ranges)-1]; last != fmt.Sprintf("bytes=%d-", half) || ranges[0] != "" {
		t.Errorf("asked for were %q", ranges)
	}
	w.want(http.StatusOK, "", "HEAD", "/v2/far/x/blobs/"+dig(text), "")
}

// A registry that sends something else than it names is not believed.
// A registry that goes away in the middle of a blob, and knows nothing of it when it
// is asked for the rest, ends that blob and nothing else.
func TestARegistryThatGoesAwayInTheMiddleEndsNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, registry.Limits{Stall: time.Second})
	text := strings.Repeat("0123456789abcdef", 256<<10)
	m := manifest(text)
	var gone atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/manifests/"):
			rw.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			rw.Header().Set("Docker-Content-Digest", dig(m))
			http.ServeContent(rw, r, "", time.Time{}, strings.NewReader(m))
		case gone.Load():
			http.Error(rw, "no such blob", http.StatusNotFound)
		case r.Method == http.MethodHead:
			rw.Header().Set("Content-Length", strconv.Itoa(len(text)))
		default:
			gone.Store(true)
			rw.Header().Set("Content-Length", strconv.Itoa(len(text)))
			_, _ = io.WriteString(rw, text[:len(text)/2])
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(srv.Close)
	if err := w.SetUpstream(t.Context(), model.Upstream{Prefix: "far", URL: srv.URL}); err != nil {
		t.Fatal(err)
	}
	w.want(http.StatusOK, "", "GET", "/v2/far/x/manifests/1", "")
	resp, err := http.Get(w.url + "/v2/far/x/blobs/" + dig(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err == nil && len(got) == len(text) {
		t.Error("the whole blob came")
	}
	w.want(http.StatusOK, "", "GET", "/v2/far/x/manifests/1", "")
}

func TestALyingRegistryIsNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push("me", "me/secret", "1", "private")
	m := manifest("private")
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/manifests/"):
			rw.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			rw.Header().Set("Docker-Content-Digest", dig(m))
			if r.Method == http.MethodGet {
				_, _ = rw.Write([]byte(m))
			}
		default:
			_, _ = rw.Write([]byte("something else"))
		}
	}))
	defer srv.Close()
	if err := w.SetUpstream(t.Context(), model.Upstream{Prefix: "far", URL: srv.URL}); err != nil {
		t.Fatal(err)
	}
	w.want(http.StatusOK, "you", "GET", "/v2/far/x/manifests/1", "")
	// It names a blob that is here, and has to have it all the same.
	if a := w.do("you", "GET", "/v2/far/x/blobs/"+dig("private"), ""); a.status < 400 || strings.Contains(a.body, "private\"") || a.body == "private" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A registry that does not tell how large a blob is gives it nevertheless, whole, and
// to all who ask while it comes.
func TestABlobOfUnknownSizeComesWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := strings.Repeat("0123456789abcdef", 64<<10) // 1 MB
	m := manifest(text)
	asked, goOn := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			rw.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			rw.Header().Set("Docker-Content-Digest", dig(m))
			http.ServeContent(rw, r, "", time.Time{}, strings.NewReader(m))
			return
		}
		_ = http.NewResponseController(rw).Flush() // so that no length is told
		if r.Method == http.MethodHead {
			return
		}
		_, _ = io.WriteString(rw, text[:len(text)/2])
		_ = http.NewResponseController(rw).Flush()
		close(asked)
		<-goOn
		_, _ = io.WriteString(rw, text[len(text)/2:])
	}))
	t.Cleanup(srv.Close)
	if err := w.SetUpstream(t.Context(), model.Upstream{Prefix: "far", URL: srv.URL}); err != nil {
		t.Fatal(err)
	}
	w.want(http.StatusOK, "", "GET", "/v2/far/x/manifests/1", "")
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if a := w.do("", "GET", "/v2/far/x/blobs/"+dig(text), ""); a.status != http.StatusOK || a.body != text {
				t.Errorf("%d, %d bytes, not the right %d", a.status, len(a.body), len(text))
			}
		})
	}
	<-asked
	time.Sleep(100 * time.Millisecond) // in which somebody may be told too early
	close(goOn)
	all.Wait()
}

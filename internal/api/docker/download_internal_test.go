package docker

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A server that stands still in the middle is given up with a reason. Whoever takes
// what came slowly, as for a busy disk, loses nothing by that.
func TestADownloadEndsWhereItsServerStandsStillAlone(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	text := strings.Repeat("0123456789abcdef", 1<<10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/half" {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(srv.Close)
	for _, path := range []string{"/half", "/whole"} {
		body, err := download(t.Context(), srv.URL+path, limit)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, len(text)/2)
		if _, err := io.ReadFull(body, head); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * limit) // somebody is slow: nobody waits for the server
		rest, err := io.ReadAll(body)
		if string(head)+string(rest) != text {
			t.Errorf("%s: %d bytes came, of %d", path, len(head)+len(rest), len(text))
		}
		if silent := err != nil && strings.Contains(err.Error(), "stopped sending"); silent != (path == "/half") {
			t.Errorf("%s: %v", path, err)
		}
		_ = body.Close()
	}
}

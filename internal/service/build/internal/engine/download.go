package engine

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/moby/buildkit/util/tracing"

	"lus/internal/base/stall"
)

// downloads is the way to servers of files and contexts, which may send nothing
// for so long as limit.
func downloads(limit time.Duration) http.RoundTripper {
	return placed{stall.Transport{Next: tracing.DefaultTransport, Limit: limit}}
}

// placed has errors in the middle of an answer say where it came from: BuildKit
// hands them on as they are.
type placed struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p placed) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = placedBody{resp.Body, r.URL.Redacted()}
	}
	return resp, err
}

type placedBody struct {
	io.ReadCloser
	from string
}

// Read implements io.Reader.
func (b placedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("receive %s: %w", b.from, err)
	}
	return n, err
}

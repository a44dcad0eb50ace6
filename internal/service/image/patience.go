package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"

	"lus/internal/base/errs"
	"lus/internal/base/stall"
)

const (
	// maxWait is the longest pause that a registry may ask for.
	maxWait = time.Minute
	// maxAnswer bounds every answer but blobs: manifests, tokens, errors.
	maxAnswer = 8 << 20
)

// patiently sends a request, again where the registry asks for a pause or has a
// fault that may pass. What it answers in the end to the last try is an error:
// those above would ask at once.
func (t *road) patiently(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	for try := 1; ; try++ {
		resp, err := t.once(r, next)
		if err != nil || t.tries < 2 || !busy(resp.StatusCode) || (r.Body != nil && r.Body != http.NoBody) {
			return resp, err
		}
		wait := t.limits.backoff(try)
		if asked, ok := retryAfter(resp.Header, time.Now()); ok {
			wait = asked
		}
		if try == t.tries || wait > maxWait {
			resp = t.inWords(r, resp, next)
			err := remoteerrors.NewUnexpectedStatusErr(resp)
			resp.Body.Close()
			if wait > maxWait {
				return nil, fmt.Errorf("%w: it asks to wait for %s", err, wait.Round(time.Second))
			}
			return nil, err
		}
		resp.Body.Close()
		notice(r.Context(), wait)
		if err := pause(r.Context(), wait); err != nil {
			return nil, err
		}
	}
}

// inWords asks for what was looked for with HEAD once more with GET, where it
// failed: only an answer to that may say why.
func (t *road) inWords(r *http.Request, resp *http.Response, next http.RoundTripper) *http.Response {
	if r.Method != http.MethodHead {
		return resp
	}
	asked := r.Clone(r.Context())
	asked.Method = http.MethodGet
	told, err := t.once(asked, next)
	switch {
	case err != nil:
		return resp
	case told.StatusCode != resp.StatusCode:
		told.Body.Close()
		return resp
	}
	resp.Body.Close()
	return told
}

// busy reports whether the same request may be answered a moment later.
func busy(code int) bool {
	return code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500 && code != http.StatusNotImplemented
}

// retryAfter is how long the registry asks to wait: in seconds, or until a time.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

// waiting is how a pause is told, under this key of a context.
type waiting struct{}

// noticing returns a context whose requests tell of the pauses they make.
func noticing(ctx context.Context, tell func(time.Duration)) context.Context {
	return context.WithValue(ctx, waiting{}, tell)
}

func notice(ctx context.Context, wait time.Duration) {
	if tell, ok := ctx.Value(waiting{}).(func(time.Duration)); ok {
		tell(wait)
	}
}

// once sends a request and sees to it that it moves, and that no answer but a blob
// is long.
func (t *road) once(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	resp, err := stall.Transport{Next: next, Limit: t.limits.Stall}.RoundTrip(r)
	if err == nil && !strings.Contains(r.URL.Path, "/blobs/") && r.Response == nil {
		resp.Body = &modest{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, err
}

// modest is an answer that must not be endless.
type modest struct {
	io.ReadCloser
	left int64
}

func (m *modest) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errs.New(errs.Invalid, "the registry's answer is longer than %d bytes: that is no manifest", maxAnswer)
	}
	if int64(len(p)) > m.left {
		p = p[:m.left]
	}
	n, err := m.ReadCloser.Read(p)
	m.left -= int64(n)
	return n, err
}

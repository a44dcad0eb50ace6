package docker

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"lus/internal/base/errs"
)

// maxBody bounds a JSON request.
const maxBody = 8 << 20

// Deadlines between two pieces of a request's body. A client may be slow; one
// that stands still is not to hold a connection for ever.
const (
	stallJSON   = time.Minute
	stallUpload = 30 * time.Minute // a tar may come from a program that thinks
)

// patient is a request's body whose client must not stand still for longer
// than limit.
type patient struct {
	io.ReadCloser
	w     http.ResponseWriter
	limit time.Duration
}

// unhurried gives a request's body a deadline that each piece renews.
func (h *handler) unhurried(w http.ResponseWriter, r *http.Request, limit time.Duration) io.ReadCloser {
	if h.Stall > 0 {
		limit = h.Stall
	}
	return &patient{ReadCloser: r.Body, w: w, limit: limit}
}

// Read implements io.Reader. The deadline is the connection's, so it must not
// outlast the read: an answer that streams for hours comes after it.
func (p *patient) Read(b []byte) (int, error) {
	control := http.NewResponseController(p.w)
	if err := control.SetReadDeadline(time.Now().Add(p.limit)); err != nil {
		return p.ReadCloser.Read(b) // no connection of ours
	}
	n, err := p.ReadCloser.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.w.Header().Set("Connection", "close") // what may still come is no request
		return n, errs.New(errs.Invalid, "the request's body stood still for %v", p.limit)
	}
	_ = control.SetReadDeadline(time.Time{})
	return n, err
}

// decode reads a JSON body, which its content type has to call so. An empty one
// leaves v as it is.
func (h *handler) decode(w http.ResponseWriter, r *http.Request, v any) error {
	kind := r.Header.Get("Content-Type")
	if kind == "" && r.ContentLength == 0 {
		return nil
	}
	media, _, err := mime.ParseMediaType(kind)
	if err != nil {
		return errs.New(errs.Invalid, "malformed Content-Type header (%s): %w", kind, err)
	}
	if media != "application/json" {
		return errs.New(errs.Invalid, "unsupported Content-Type header (%s): must be 'application/json'", kind)
	}
	if r.ContentLength == 0 {
		return nil
	}
	body := json.NewDecoder(http.MaxBytesReader(w, h.unhurried(w, r, stallJSON), maxBody))
	if err := body.Decode(v); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return errs.New(errs.Invalid, "the request's JSON is larger than %d bytes", large.Limit)
		}
		if errs.KindOf(err) == errs.Invalid {
			return err // it stood still
		}
		if errors.Is(err, io.EOF) {
			return errs.New(errs.Invalid, "invalid JSON: got EOF while reading request body")
		}
		return errs.New(errs.Invalid, "invalid JSON: %w", err)
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return errs.New(errs.Invalid, "unexpected content after JSON")
	}
	return nil
}

// heardOut bounds what is read of a body that nobody needs any more.
const heardOut = 256 << 10

// hearOut reads the rest of a small body: a client that is still sending when it
// is answered, and finds the connection closed, may not look for the answer.
func (h *handler) hearOut(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength >= 0 && r.ContentLength <= heardOut {
		_, _ = io.Copy(io.Discard, h.unhurried(w, r, time.Second)) // the answer is an error anyway
	}
}

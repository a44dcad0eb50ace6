package docker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"lus/internal/api/status"
	"lus/internal/base/errs"
	"lus/internal/model/filter"
)

// The versions of the API: what is spoken, and the oldest path accepted.
const (
	Version    = "1.51"
	MinVersion = "1.24"
)

// Deps is what the handler answers from.
type Deps struct {
	Containers Containers
	Networks   Networks
	Volumes    Volumes
	Images     Images
	Builder    Builder
	System     System
	Search     Search
	Log        *slog.Logger
	// Stall bounds how long the client may stand still within a request's body;
	// 0 means what is usual.
	Stall time.Duration
}

// handler answers the API.
type handler struct {
	Deps
	mux     *http.ServeMux
	running builds
	// listeners counts those who follow events.
	listeners atomic.Int64
}

// action is one endpoint. An error it returns becomes the answer, unless the
// answer has begun.
type action func(w http.ResponseWriter, r *http.Request) error

// New returns the handler of the Docker Engine API, with and without a version
// before the path.
func New(d Deps) http.Handler {
	h := &handler{Deps: d, mux: http.NewServeMux()}
	h.system()
	h.containers()
	h.archives()
	h.execs()
	h.images()
	h.networks()
	h.volumes()
	h.builds()
	h.elsewhere()
	return h
}

func (h *handler) handle(pattern string, do action) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		began := &watcher{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p) // the answer broke off, and the client is to notice
				}
				h.Log.Error("a request ended in a panic", "method", r.Method, "path", r.URL.Path, "panic", p)
				fail(began, errs.New(errs.Internal, "an internal fault; the daemon's log tells more"))
			}
		}()
		if err := do(began, r); err != nil {
			h.logFailure(r, err)
			fail(began, err)
		}
	})
}

// logFailure logs what is a fault of the daemon's or the host's.
func (h *handler) logFailure(r *http.Request, err error) {
	if errs.KindOf(err) == errs.Internal && !errors.Is(err, context.Canceled) {
		h.Log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
}

// ServeHTTP strips the version from the path and answers.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", Version)
	w.Header().Set("Ostype", "linux")
	w.Header().Set("Docker-Experimental", "false")
	w.Header().Set("Server", "Lus")
	version, path := split(r.URL.Path)
	if version != "" {
		if err := accept(version); err != nil {
			fail(&watcher{ResponseWriter: w}, err)
			return
		}
		clone := *r.URL
		clone.Path = path
		clone.RawPath = ""
		r2 := r.WithContext(context.WithValue(r.Context(), versionKey{}, version))
		r2.URL = &clone
		r = r2
	}
	// Of what answers GET, only the ping answers HEAD: the rest may stream for
	// ever, and a HEAD of it would hang.
	_, pattern := h.mux.Handler(r)
	if pattern == "" || r.Method == http.MethodHead && strings.HasPrefix(pattern, "GET ") && pattern != "GET /_ping" {
		fail(&watcher{ResponseWriter: w}, errs.New(errs.NotFound, "page not found"))
		return
	}
	h.mux.ServeHTTP(w, r)
}

type versionKey struct{}

// atLeast reports whether the client asked in version v or later.
func atLeast(r *http.Request, v string) bool {
	asked, ok := r.Context().Value(versionKey{}).(string)
	return !ok || !older(asked, v)
}

// split cuts "/v1.51/x" into "1.51" and "/x".
func split(path string) (version, rest string) {
	after, ok := strings.CutPrefix(path, "/v")
	if !ok {
		return "", path
	}
	version, rest, ok = strings.Cut(after, "/")
	if !ok || version == "" || strings.Trim(version, ".0123456789") != "" {
		return "", path
	}
	return version, "/" + rest
}

func accept(v string) error {
	if _, _, err := numbers(v); err != nil {
		return errs.New(errs.Invalid, "invalid API version %q", v)
	}
	if older(v, MinVersion) {
		return errs.New(errs.Invalid, "client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", v, MinVersion)
	}
	if older(Version, v) {
		return errs.New(errs.Invalid, "client version %s is too new. Maximum supported API version is %s", v, Version)
	}
	return nil
}

func numbers(v string) (major, minor int, err error) {
	a, b, _ := strings.Cut(v, ".")
	if major, err = strconv.Atoi(a); err != nil {
		return 0, 0, err
	}
	minor, err = strconv.Atoi(b)
	return major, minor, err
}

func older(a, b string) bool {
	a1, a2, _ := numbers(a)
	b1, b2, _ := numbers(b)
	return a1 < b1 || (a1 == b1 && a2 < b2)
}

// watcher knows whether the answer has begun.
type watcher struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader notes that the answer has begun.
func (w *watcher) WriteHeader(code int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(code)
}

// Write notes that the answer has begun.
func (w *watcher) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Hijack takes the connection over, for those who know no ResponseController.
func (w *watcher) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.begun = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watcher) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// fail answers with an error, if nothing was answered yet.
func fail(w *watcher, err error) {
	if w.begun {
		return
	}
	code := status.Of(errs.KindOf(err))
	if code == http.StatusNotModified {
		w.WriteHeader(code)
		return
	}
	_ = reply(w, code, map[string]string{"message": err.Error()})
}

// reply answers with JSON. The content type is exact: clients compare it.
func reply(w http.ResponseWriter, code int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n'))
	return nil
}

func done(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// flag reads a boolean of the query as Docker does: anything but an empty
// value, 0, no, false and none is true.
func flag(r *http.Request, key string) bool { return isTrue(r.FormValue(key)) }

func isTrue(value string) bool {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

func number(r *http.Request, key string) (int, error) {
	s := r.FormValue(key)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, errs.New(errs.Invalid, "%s must be a number, not %q", key, s)
	}
	return n, nil
}

// filters reads the filters of the query: {"key":["value"]}, or the older
// {"key":{"value":true}}.
func filters(r *http.Request) (filter.Filters, error) {
	text := r.FormValue("filters")
	if text == "" {
		return nil, nil
	}
	var f filter.Filters
	if json.Unmarshal([]byte(text), &f) == nil {
		return f, nil
	}
	var old map[string]map[string]bool
	if err := json.Unmarshal([]byte(text), &old); err != nil {
		return nil, errs.New(errs.Invalid, "invalid filters %q: %w", text, err)
	}
	f = filter.Filters{}
	for key, values := range old {
		for v, on := range values {
			if on {
				f[key] = append(f[key], v)
			}
		}
	}
	return f, nil
}

// flush sends what was written so far.
func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

func sizeOf(r *http.Request) (rows, cols uint16, err error) {
	h, err := number(r, "h")
	if err != nil {
		return 0, 0, err
	}
	w, err := number(r, "w")
	if err != nil {
		return 0, 0, err
	}
	if h < 0 || h > 65535 || w < 0 || w > 65535 {
		return 0, 0, errs.New(errs.Invalid, "a terminal of %d x %d cannot be had", w, h)
	}
	return uint16(h), uint16(w), nil
}

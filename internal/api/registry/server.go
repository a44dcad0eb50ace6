// Package registry answers /v2/...: the OCI distribution API over the registry
// that the daemon passes in.
package registry

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
)

// Prefix is where the handler is mounted.
const Prefix = "/v2/"

// maxManifest bounds a manifest that is read into memory.
const maxManifest = 4 << 20

// Deps is what the handler answers from; Registry and Auth are required.
type Deps struct {
	Registry Registry
	Auth     Authenticator
	Log      *slog.Logger
	// Stall is how long a client may send nothing of a body; 0 is a minute.
	Stall time.Duration
}

type handler struct {
	Deps
}

// New returns the handler for everything below Prefix.
func New(d Deps) http.Handler {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Stall == 0 {
		d.Stall = usualStall
	}
	return &handler{d}
}

// call is one request, taken apart.
type call struct {
	*handler
	w    http.ResponseWriter
	r    *http.Request
	who  registry.Who
	repo string
	// rest is what follows the kind of thing: a reference, a digest, an upload.
	rest string
}

// route is one kind of thing below a repository, as its path ends.
type route struct {
	method string
	does   func(*call) error
}

// ServeHTTP implements http.Handler. Paths are taken apart here and not by a
// ServeMux: a repository's name has slashes in it, and nothing is redirected.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	c := &call{handler: h, w: w, r: r}
	var err error
	if c.who, err = h.Auth.Authenticate(r); err != nil {
		c.fail(err)
		return
	}
	if err := c.serve(); err != nil {
		c.refuse(err)
	}
}

// linger and lingerBytes bound how long a refused client is listened to.
const (
	linger      = 10 * time.Second
	lingerBytes = 1 << 30
)

// refuse answers with an error while the client may still be sending. A
// connection that is closed on data nobody read is reset, and the client would
// see that instead of the answer: so the rest is read away until it has seen it.
func (c *call) refuse(err error) {
	if c.r.Body == nil || c.r.ContentLength == 0 {
		c.fail(err)
		return
	}
	rc := http.NewResponseController(c.w)
	duplex := rc.EnableFullDuplex() == nil
	c.w.Header().Set("Connection", "close")
	c.fail(err)
	if !duplex || rc.Flush() != nil || rc.SetReadDeadline(time.Now().Add(linger)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.r.Body, lingerBytes) // until it gives up, or has sent all
}

func (c *call) serve() error {
	path, ok := strings.CutPrefix(c.r.URL.Path, Prefix)
	if !ok && c.r.URL.Path != strings.TrimSuffix(Prefix, "/") {
		return errs.New(errs.NotFound, "page not found")
	}
	switch path {
	case "", c.r.URL.Path: // /v2/ and /v2
		return c.base()
	case "_catalog":
		return c.only(route{http.MethodGet, (*call).catalog})
	}
	var kind string
	c.repo, kind, c.rest = split(path)
	switch kind {
	case "manifests":
		return c.only(route{http.MethodGet, (*call).getManifest}, route{http.MethodHead, (*call).getManifest},
			route{http.MethodPut, (*call).putManifest}, route{http.MethodDelete, (*call).deleteManifest})
	case "blobs":
		return c.only(route{http.MethodGet, (*call).getBlob}, route{http.MethodHead, (*call).headBlob}, route{http.MethodDelete, (*call).deleteBlob})
	case "blobs/uploads":
		if c.rest == "" {
			return c.only(route{http.MethodPost, (*call).startUpload})
		}
		return c.only(route{http.MethodGet, (*call).getUpload}, route{http.MethodPatch, (*call).patchUpload},
			route{http.MethodPut, (*call).putUpload}, route{http.MethodDelete, (*call).deleteUpload})
	case "tags":
		return c.only(route{http.MethodGet, (*call).tags})
	case "referrers":
		return c.only(route{http.MethodGet, (*call).referrers})
	}
	return errs.New(errs.NotFound, "page not found")
}

// split takes "me/app/blobs/uploads/ID" apart: repository, kind of thing, rest.
// The last word that names a kind decides, for repositories may be called so.
func split(path string) (repo, kind, rest string) {
	parts := strings.Split(path, "/")
	n := len(parts)
	at := func(i int) string {
		if i < 0 {
			return ""
		}
		return parts[i]
	}
	switch {
	case at(n-3) == "blobs" && at(n-2) == "uploads":
		return strings.Join(parts[:n-3], "/"), "blobs/uploads", parts[n-1]
	case at(n-2) == "blobs" && parts[n-1] == "uploads": // POST without the last slash
		return strings.Join(parts[:n-2], "/"), "blobs/uploads", ""
	case at(n-2) == "tags" && parts[n-1] == "list":
		return strings.Join(parts[:n-2], "/"), "tags", ""
	case at(n-2) == "manifests", at(n-2) == "blobs", at(n-2) == "referrers":
		return strings.Join(parts[:n-2], "/"), parts[n-2], parts[n-1]
	}
	return "", "", ""
}

// only does what the method stands for, and refuses others.
func (c *call) only(routes ...route) error {
	var may []string
	for _, rt := range routes {
		if rt.method == c.r.Method {
			return rt.does(c)
		}
		may = append(may, rt.method)
	}
	c.w.Header().Set("Allow", strings.Join(may, ", "))
	return registry.Fail(errs.Unsupported, registry.Unsupported, "%s is not done here: use %s", c.r.Method, strings.Join(may, " or "))
}

// base tells that the API is here, and who may not use it.
func (c *call) base() error {
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return c.only(route{method: http.MethodGet}, route{method: http.MethodHead})
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, err := c.w.Write([]byte("{}"))
	return ended(err)
}

// ended drops the error of a client that went away: nobody is left to tell.
func ended(error) error { return nil }

// codeOf is the code of the specification in an error.
func codeOf(err error) registry.Code {
	var code registry.Code
	if errors.As(err, &code) {
		return code
	}
	switch errs.KindOf(err) {
	case errs.Unauthenticated:
		return registry.Unauthorized
	case errs.Denied:
		return registry.Denied
	case errs.NotFound:
		return registry.NameUnknown
	case errs.Unsupported:
		return registry.Unsupported
	case errs.Invalid:
		return registry.NameInvalid
	}
	return registry.Unavailable
}

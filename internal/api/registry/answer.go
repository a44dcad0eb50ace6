package registry

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"lus/internal/api/status"
	"lus/internal/base/errs"
	"lus/internal/model/registry"
)

// statusOf is the HTTP status of a refusal, where its code asks for another than
// its kind.
func statusOf(code registry.Code, kind errs.Kind) int {
	switch code {
	case registry.RangeInvalid:
		return http.StatusRequestedRangeNotSatisfiable
	case registry.SizeInvalid:
		return http.StatusRequestEntityTooLarge
	case registry.TooManyRequests:
		return http.StatusTooManyRequests
	case registry.Unsupported:
		return http.StatusMethodNotAllowed
	}
	return status.Of(kind)
}

// fail answers with an error in the words of the specification.
func (c *call) fail(err error) {
	kind, code := errs.KindOf(err), codeOf(err)
	msg := err.Error()
	if kind == errs.Internal {
		if c.r.Context().Err() == nil {
			c.Log.Error("a request to the registry failed", "method", c.r.Method, "path", c.r.URL.Path, "error", err)
		}
		msg = "the registry failed; its log tells more"
	}
	if kind == errs.Unauthenticated {
		c.w.Header().Set("Www-Authenticate", c.Auth.Challenge(c.r, c.repo, c.actions()...))
	}
	st := statusOf(code, kind)
	if code == registry.RangeInvalid {
		code = registry.BlobUploadInvalid
	}
	type one struct {
		Code    registry.Code `json:"code"`
		Message string        `json:"message"`
	}
	c.json(st, "application/json", map[string][]one{"errors": {{code, msg}}})
}

// actions are what the request needs, for the challenge.
func (c *call) actions() []registry.Action {
	if c.repo == "" {
		return nil
	}
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		return []registry.Action{registry.Read}
	case http.MethodDelete:
		return []registry.Action{registry.Delete}
	}
	return []registry.Action{registry.Read, registry.Write}
}

// json answers with a document. A client that went away is no error.
func (c *call) json(status int, mediaType string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"errors":[{"code":"UNAVAILABLE","message":"the answer cannot be written"}]}`)
	}
	c.w.Header().Set("Content-Type", mediaType)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(data)
	}
}

// page reads n and last.
func (c *call) page() (registry.Page, error) {
	q := c.r.URL.Query()
	p := registry.Page{N: -1, Last: q.Get("last")}
	if text := q.Get("n"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return p, registry.Fail(errs.Invalid, registry.Unsupported, "n=%.20q is not a number of entries", text)
		}
		p.N = n
	}
	return p, nil
}

// next adds the link to the page that follows.
func (c *call) next(p registry.Page, last string) {
	q := c.r.URL.Query()
	q.Set("last", last)
	if p.N >= 0 {
		q.Set("n", strconv.Itoa(p.N))
	}
	u := url.URL{Path: c.r.URL.Path, RawQuery: q.Encode()}
	c.w.Header().Set("Link", "<"+u.String()+`>; rel="next"`)
}

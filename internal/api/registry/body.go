package registry

import (
	"io"
	"net/http"
	"time"
)

// usualStall is how long a client may send nothing of a body.
const usualStall = time.Minute

// body is the request's body; a client that stands still for too long ends it.
func (c *call) body() io.Reader {
	return &hurried{c.r.Body, http.NewResponseController(c.w), c.Stall}
}

type hurried struct {
	r     io.Reader
	rc    *http.ResponseController
	stall time.Duration
}

// Read gives each read a time of its own. The last one takes it away again: the
// server reads on by itself to see the client go.
func (h *hurried) Read(p []byte) (int, error) {
	_ = h.rc.SetReadDeadline(time.Now().Add(h.stall)) // a connection without deadlines has none
	n, err := h.r.Read(p)
	if err != nil {
		_ = h.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

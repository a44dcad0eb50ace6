package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"lus/internal/base/errs"
)

// maxMessage bounds an error's text.
const maxMessage = 256 << 10

// Refusal is what a daemon answers that does not do what was asked.
type Refusal struct {
	Status  int
	Message string // the daemon's own words
}

// Error returns the daemon's words as Docker's client prints them.
func (r *Refusal) Error() string { return "Error response from daemon: " + r.Message }

// Message returns the daemon's own words of an error, or all of its text where
// it is not the daemon's.
func Message(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Message
	}
	return err.Error()
}

// NoDaemon reports whether err says that no daemon answers.
func NoDaemon(err error) bool {
	var n *noDaemon
	return errors.As(err, &n)
}

// refusal reads an answer that is an error.
func refusal(resp *Response) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxMessage))
	_ = resp.Body.Close()
	var body struct {
		Message string `json:"message"`
	}
	message := strings.TrimSpace(string(data))
	if json.Unmarshal(data, &body) == nil && body.Message != "" {
		message = body.Message
	}
	if message == "" {
		message = fmt.Sprintf("status %d without a reason", resp.Status)
	}
	return refused(resp.Status, message)
}

func refused(status int, message string) error {
	r := &Refusal{Status: status, Message: message}
	return &errs.Error{Kind: kind(status), Msg: r.Error(), Err: r}
}

// kind is the way back from internal/api/status, which gives kinds their status.
func kind(status int) errs.Kind {
	switch status {
	case 400:
		return errs.Invalid
	case 401:
		return errs.Unauthenticated
	case 403:
		return errs.Denied
	case 404:
		return errs.NotFound
	case 409:
		return errs.Conflict
	case 429:
		return errs.TooMany
	case 501:
		return errs.Unsupported
	case 503:
		return errs.Unavailable
	}
	return errs.Internal
}

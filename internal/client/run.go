package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// Run is a process that the daemon makes, starts and waits for by one request
// (container.RunProtocol).
type Run struct {
	*Stream
	ID       string
	Warnings []string
}

// Run asks for what is to be made to be run as well. A daemon that does not know
// how to (Docker's) only makes it: then the Run has no Stream, and the rest is to
// be asked for piece by piece.
func (c *Client) Run(ctx context.Context, r Request) (*Run, error) {
	resp, err := c.roundTrip(ctx, &r, container.RunProtocol)
	if err != nil {
		return nil, err
	}
	if resp.Status != 101 {
		if resp, err = r.accepted(resp); err != nil {
			return nil, err
		}
		var made container.CreateResponse
		err = resp.Decode(&made)
		return &Run{ID: made.ID, Warnings: made.Warnings}, err
	}
	run := &Run{Stream: &Stream{conn: resp.conn, Framed: true}}
	var made container.CreateResponse
	kind, text, err := run.word()
	if err == nil {
		err = run.decode(kind, container.FrameCreated, text, &made)
	}
	if err != nil {
		_ = run.Close()
		return nil, err
	}
	run.ID, run.Warnings = made.ID, made.Warnings
	return run, nil
}

// Started waits until the process was started, or could not be. It is told only
// of one on a terminal or without streams.
func (r *Run) Started() error {
	kind, text, err := r.word()
	if err != nil {
		return err
	}
	return r.decode(kind, container.FrameStarted, text, nil)
}

// Follow writes the output to where it belongs and returns the exit code once the
// process has ended.
func (r *Run) Follow(stdout, stderr io.Writer) (code int, err error) {
	for {
		kind, size, err := nextFrame(r.conn.r)
		switch {
		case err != nil:
			return 0, gone(err)
		case kind < container.FrameCreated:
			if err := output(kind, size, stdout, stderr, r.conn.r); err != nil {
				return 0, err
			}
			continue
		}
		text, err := wordOf(r.conn.r, size)
		if err != nil {
			return 0, err
		}
		var end container.RunEnd
		err = r.decode(kind, container.FrameEnded, text, &end)
		return end.StatusCode, err
	}
}

// word reads a frame that is no output.
func (r *Run) word() (kind byte, text []byte, err error) {
	kind, size, err := nextFrame(r.conn.r)
	if err != nil {
		return 0, nil, gone(err)
	}
	text, err = wordOf(r.conn.r, size)
	return kind, text, err
}

func wordOf(from io.Reader, size int64) ([]byte, error) {
	if size > maxMessage {
		return nil, errs.New(errs.Internal, "the daemon has more to say than can be read: %d bytes", size)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(from, text); err != nil {
		return nil, gone(err)
	}
	return text, nil
}

// decode reads a frame of the kind that is due; a failure may come instead.
func (r *Run) decode(kind, due byte, text []byte, v any) error {
	switch {
	case kind == container.FrameFailed:
		var f container.RunFailure
		if err := json.Unmarshal(text, &f); err != nil {
			return err
		}
		return refused(f.Status, f.Message)
	case kind != due:
		return errs.New(errs.Internal, "the daemon says %d where %d was due: %.60q", kind, due, text)
	case v == nil:
		return nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("what the daemon says is not what was expected: %w", err)
	}
	return nil
}

// gone is the end of a connection before the last word.
func gone(err error) error {
	return errs.New(errs.Unavailable, "the daemon ended the connection: %w", err)
}

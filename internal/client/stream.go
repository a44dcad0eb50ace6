package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"lus/internal/base/errs"
)

// Stream is a connection that carries a process's input and output.
type Stream struct {
	conn *conn
	// Framed: the output comes in frames that name their stream (Demultiplex
	// takes them apart); else it is a terminal's raw bytes.
	Framed bool
}

// Hijack makes a request that turns its connection into a stream.
func (c *Client) Hijack(ctx context.Context, r Request) (*Stream, error) {
	resp, err := c.roundTrip(ctx, &r, tcp)
	if err != nil {
		return nil, err
	}
	return resp.stream()
}

// Stream reads the answer of a request that BeginHijack began.
func (b *Begun) Stream() (*Stream, error) {
	resp, err := b.head()
	if err != nil {
		return nil, err
	}
	return resp.stream()
}

func (resp *Response) stream() (*Stream, error) {
	if resp.Status >= 400 {
		return nil, refusal(resp)
	}
	if resp.Status != 101 && resp.Status != 200 {
		_ = resp.conn.Close()
		return nil, errs.New(errs.Internal, "the daemon answered %d where a stream was expected", resp.Status)
	}
	return &Stream{conn: resp.conn, Framed: strings.HasSuffix(resp.Header["content-type"], "multiplexed-stream")}, nil
}

// Read reads output.
func (s *Stream) Read(p []byte) (int, error) { return s.conn.r.Read(p) }

// Write writes input.
func (s *Stream) Write(p []byte) (int, error) { return s.conn.Write(p) }

// CloseWrite ends the input and leaves the output open.
func (s *Stream) CloseWrite() error {
	if h, ok := s.conn.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// Close ends both.
func (s *Stream) Close() error { return s.conn.Close() }

// Demultiplex writes framed output to where it belongs, until it ends. A frame
// is 8 bytes (stream, three zeros, length) and the output.
func Demultiplex(stdout, stderr io.Writer, from io.Reader) error {
	for {
		kind, size, err := nextFrame(from)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = output(kind, size, stdout, stderr, from)
		}
		if err != nil {
			return err
		}
	}
}

// nextFrame reads a frame's head; io.EOF where there are no more.
func nextFrame(from io.Reader) (kind byte, size int64, err error) {
	var head [8]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, 0, io.EOF
		}
		return 0, 0, fmt.Errorf("the output broke off: %w", err)
	}
	return head[0], int64(binary.BigEndian.Uint32(head[4:])), nil
}

// output writes a frame of output.
func output(kind byte, size int64, stdout, stderr io.Writer, from io.Reader) error {
	to := stdout
	switch kind {
	case 0, 1:
	case 2:
		to = stderr
	case 3:
		text, err := io.ReadAll(io.LimitReader(from, min(size, maxMessage)))
		if err != nil {
			return err
		}
		return errs.New(errs.Internal, "error from daemon in stream: %s", text)
	default:
		return fmt.Errorf("the output is not in frames: it names stream %d", kind)
	}
	if _, err := io.CopyN(to, from, size); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("the output broke off: %w", err)
	}
	return nil
}

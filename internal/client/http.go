package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"lus/internal/base/errs"
)

// The bounds of what an answer's head may be.
const (
	maxLine    = 16 << 10
	maxHeaders = 200
)

// conn is one connection with what was read ahead on it.
type conn struct {
	net.Conn
	r      *bufio.Reader
	reused bool
}

func newConn(c net.Conn) *conn { return &conn{Conn: c, r: bufio.NewReaderSize(c, 16<<10)} }

// Response is an answer's head, and its body to be read and closed.
type Response struct {
	Status int
	Header map[string]string // names in lower case
	Body   io.ReadCloser
	conn   *conn  // of an answer that turned the connection into a stream
	to     string // what was asked for
}

// Begun is a request that was sent and whose answer is still to be read: several
// can be under way without a goroutine for each.
type Begun struct {
	client  *Client
	request *Request
	conn    *conn
	upgrade string          // what the connection is to become; "" where it stays HTTP's
	ctx     context.Context // ends the connection
	stop    func() bool
	sent    chan error
}

// tcp is what Docker's streams are asked for as.
const tcp = "tcp"

// Begin sends a request. Send and Hijack are Begin and its Response or Stream in
// one. Where the answer is not read, Abandon is to be called.
func (c *Client) Begin(ctx context.Context, r Request) (*Begun, error) {
	return c.begin(ctx, &r, "")
}

// BeginHijack is Begin for a request that turns its connection into a stream.
func (c *Client) BeginHijack(ctx context.Context, r Request) (*Begun, error) {
	return c.begin(ctx, &r, tcp)
}

func (c *Client) begin(ctx context.Context, r *Request, upgrade string) (*Begun, error) {
	head, body, err := r.head(c.header, upgrade)
	if err != nil {
		return nil, err
	}
	k := c.take()
	if k == nil {
		if k, err = c.dial(ctx); err != nil {
			return nil, err
		}
	}
	return c.send(ctx, k, r, append(head, body...), upgrade), nil
}

// roundTrip sends a request and reads the head of its answer.
func (c *Client) roundTrip(ctx context.Context, r *Request, upgrade string) (*Response, error) {
	for {
		b, err := c.begin(ctx, r, upgrade)
		if err != nil {
			return nil, err
		}
		resp, err := b.head()
		if err == nil {
			return resp, nil
		}
		// A connection that had been idle may belong to a daemon that is gone.
		// Only what changes nothing is asked again.
		if ctx.Err() != nil || !b.conn.reused || r.Method != "GET" {
			return nil, err
		}
	}
}

func (c *Client) send(ctx context.Context, k *conn, r *Request, request []byte, upgrade string) *Begun {
	b := &Begun{client: c, request: r, conn: k, upgrade: upgrade, ctx: ctx, sent: make(chan error, 1)}
	b.stop = context.AfterFunc(ctx, func() { _ = k.Close() })
	if r.Stream == nil {
		_, err := k.Write(request)
		b.sent <- err
	} else {
		// The answer may come while the body is still on its way.
		go func() { b.sent <- k.chunks(request, r.Stream) }()
	}
	return b
}

// Abandon ends the connection of a request whose answer nobody will read.
func (b *Begun) Abandon() {
	b.stop()
	_ = b.conn.Close()
}

// head reads the head of the answer.
func (b *Begun) head() (*Response, error) {
	k := b.conn
	resp, err := k.head(b.request.Method)
	if err != nil {
		_ = k.Close() // ends the sending as well
		if serr := <-b.sent; serr != nil && b.ctx.Err() == nil {
			err = serr
		}
		b.stop()
		if b.ctx.Err() != nil {
			return nil, b.ctx.Err()
		}
		return nil, errs.New(errs.Unavailable, "the daemon at %s ended the connection: %w", b.client.shown, err)
	}
	resp.conn = k
	switch {
	case resp.Status == 101 && b.upgrade == "":
		b.Abandon()
		return nil, errs.New(errs.Internal, "the daemon at %s turns the connection into something else, which nobody asked for", b.client.shown)
	case resp.Status == 101, resp.Status == 200 && b.upgrade == tcp:
		b.stop()
		return resp, nil
	}
	body := &body{conn: k, client: b.client, stop: b.stop, sent: b.sent, keep: resp.Header["connection"] != "close"}
	if body.r, err = k.body(b.request.Method, resp); err != nil {
		_ = body.Close()
		return nil, err
	}
	_, untilEnd := body.r.(*bufio.Reader)
	body.keep = body.keep && !untilEnd
	resp.Body = body
	return resp, nil
}

// chunks sends the request's head and a body of unknown length.
func (k *conn) chunks(head []byte, from io.Reader) error {
	if _, err := k.Write(head); err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	for {
		n, rerr := from.Read(buf)
		if n > 0 {
			chunk := net.Buffers{[]byte(strconv.FormatInt(int64(n), 16) + "\r\n"), buf[:n], []byte("\r\n")}
			if _, err := chunk.WriteTo(k.Conn); err != nil {
				return err
			}
		}
		if rerr != nil {
			if !errors.Is(rerr, io.EOF) {
				_ = k.Close() // the daemon must not take half a body for a whole one
				return rerr
			}
			_, err := io.WriteString(k.Conn, "0\r\n\r\n")
			return err
		}
	}
}

// head reads the status line and the headers, past interim answers.
func (k *conn) head(method string) (*Response, error) {
	for {
		line, err := k.line()
		if err != nil {
			return nil, err
		}
		proto, rest, _ := strings.Cut(line, " ")
		code, _, _ := strings.Cut(rest, " ")
		status, err := strconv.Atoi(code)
		if !strings.HasPrefix(proto, "HTTP/1.") || err != nil || status < 100 || status > 999 {
			return nil, fmt.Errorf("this is no HTTP answer to %s: %.60q", method, line)
		}
		header := map[string]string{}
		for n := 0; ; n++ {
			if n > maxHeaders {
				return nil, errors.New("the answer has too many headers")
			}
			if line, err = k.line(); err != nil {
				return nil, err
			}
			if line == "" {
				break
			}
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return nil, fmt.Errorf("this is no header: %.60q", line)
			}
			header[strings.ToLower(name)] = strings.TrimSpace(value)
		}
		if status >= 200 || status == 101 {
			return &Response{Status: status, Header: header}, nil
		}
	}
}

func (k *conn) line() (string, error) {
	var out []byte
	for {
		part, err := k.r.ReadSlice('\n')
		out = append(out, part...)
		if len(out) > maxLine {
			return "", errors.New("a line of the answer's head is too long")
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		return strings.TrimRight(string(out), "\r\n"), nil
	}
}

// body picks the reader of the answer's body.
func (k *conn) body(method string, resp *Response) (io.Reader, error) {
	if method == "HEAD" || resp.Status == 204 || resp.Status == 304 || resp.Status == 101 {
		return strings.NewReader(""), nil
	}
	if strings.EqualFold(resp.Header["transfer-encoding"], "chunked") {
		return &chunked{conn: k}, nil
	}
	if s, ok := resp.Header["content-length"]; ok {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("the answer's length is %.40q", s)
		}
		return &exactly{r: k.r, left: n}, nil
	}
	return k.r, nil // until the connection ends
}

// exactly reads so many bytes; fewer is an error.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// chunked reads a body in chunks.
type chunked struct {
	conn  *conn
	chunk exactly
	begun bool
	ended bool
}

func (c *chunked) Read(p []byte) (int, error) {
	if c.ended {
		return 0, io.EOF
	}
	if c.chunk.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	return c.chunk.Read(p)
}

// next reads the size of the next chunk, and the trailers after the last.
func (c *chunked) next() error {
	if c.begun {
		if line, err := c.conn.line(); err != nil || line != "" {
			return unexpected(err, "a chunk is longer than it says")
		}
	}
	c.begun = true
	line, err := c.conn.line()
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("this is no chunk's size: %.40q", line)
	}
	if n > 0 {
		c.chunk = exactly{r: c.conn.r, left: n}
		return nil
	}
	for range maxHeaders {
		if line, err = c.conn.line(); err != nil {
			return err
		}
		if line == "" {
			c.ended = true
			return io.EOF
		}
	}
	return errors.New("the answer has too many trailers")
}

func unexpected(err error, otherwise string) error {
	if err != nil {
		return err
	}
	return errors.New(otherwise)
}

// body gives the connection back once it was read to the end.
type body struct {
	r      io.Reader
	conn   *conn
	client *Client
	stop   func() bool
	sent   chan error
	keep   bool
	ended  bool
	closed bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.closed {
		return 0, errors.New("read after close")
	}
	n, err := b.r.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}

func (b *body) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if e, ok := b.r.(*exactly); ok && e.left == 0 {
		b.ended = true
	}
	if _, none := b.r.(*strings.Reader); none {
		b.ended = true
	}
	if b.stop() && b.keep && b.ended {
		select {
		case err := <-b.sent:
			if err == nil {
				b.conn.reused = true
				b.client.put(b.conn)
				return nil
			}
		default:
		}
		return b.conn.Close()
	}
	return b.conn.Close()
}

// Package client speaks to the daemon. It carries its own small HTTP/1.1, since
// linking net/http would add half a millisecond to every start of lus, and it
// finds or starts the daemon of this host.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
)

// version is the API version that requests are made in.
const version = "/v1.51"

// Client is a connection to one daemon. It may be used from several goroutines.
type Client struct {
	network, address string
	shown            string // the address as people write it
	header           string // lines of each request's head
	// start begins a daemon where none answers; nil where a host was named.
	start func() error

	mu   sync.Mutex
	idle []*conn
}

// Options say which daemon is meant.
type Options struct {
	Host   string // unix:///path or tcp://host:port; empty: the daemon of Layout, started where it is not there
	Layout layout.Layout
	Stderr io.Writer // told once where a daemon is started
	// Header is sent with each request: what stands before the daemon may ask for it.
	Header map[string]string
}

// FromEnv returns the options that LUS_HOST, LUS_ROOT and LUS_RUN name.
func FromEnv(stderr io.Writer) Options {
	return Options{Host: os.Getenv("LUS_HOST"), Layout: layout.FromEnv(), Stderr: stderr}
}

// New returns a client. Nothing is dialed before the first request.
func New(o Options) (*Client, error) {
	if o.Host == "" {
		socket := o.Layout.Socket()
		s := &starter{layout: o.Layout, stderr: o.Stderr}
		return &Client{network: "unix", address: socket, shown: "unix://" + socket, start: s.start}, nil
	}
	scheme, rest, ok := strings.Cut(o.Host, "://")
	if !ok || rest == "" || (scheme != "unix" && scheme != "tcp") {
		return nil, errs.New(errs.Invalid, "%q is no address of a daemon: write unix:///path/of/lus.sock or tcp://host:port (-H, LUS_HOST)", o.Host)
	}
	header, err := checkHeader(o.Header)
	if err != nil {
		return nil, err
	}
	return &Client{network: scheme, address: rest, shown: o.Host, header: header}, nil
}

// Host is the daemon's address as people write it.
func (c *Client) Host() string { return c.shown }

// Existing is a client of the same daemon that starts none. It takes over the
// connections that wait for another request.
func (c *Client) Existing() *Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &Client{network: c.network, address: c.address, shown: c.shown, header: c.header, idle: c.idle}
	c.idle = nil
	return e
}

// Close closes the connections that wait for another request.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.idle {
		_ = k.Close()
	}
	c.idle = nil
	return nil
}

// Request is one request. Path has no version; Query may be nil.
type Request struct {
	Method string
	Path   string
	Query  url.Values
	Header map[string]string
	Body   any       // sent as JSON; nil: none
	Stream io.Reader // sent as it is, in chunks, instead of Body
	Type   string    // of Stream
}

// Send makes a request and returns the answer. One that is an error comes back
// as an error with its kind.
func (c *Client) Send(ctx context.Context, r Request) (*Response, error) {
	resp, err := c.roundTrip(ctx, &r, "")
	if err != nil {
		return nil, err
	}
	return r.accepted(resp)
}

// Response reads the answer of a request that was begun, as Send returns it.
func (b *Begun) Response() (*Response, error) {
	resp, err := b.head()
	if err != nil {
		return nil, err
	}
	return b.request.accepted(resp)
}

// accepted turns an answer that is an error into one.
func (r *Request) accepted(resp *Response) (*Response, error) {
	resp.to = r.Method + " " + r.Path
	if resp.Status >= 400 {
		return nil, refusal(resp)
	}
	if resp.Status >= 300 && resp.Status != 304 { // as it is already so
		_ = resp.Body.Close()
		return nil, errs.New(errs.Internal, "the daemon answered %d to %s %s: it leads elsewhere, as a daemon of Lus never does", resp.Status, r.Method, r.Path)
	}
	return resp, nil
}

// Do sends body as JSON (nil: none) to a path that may carry a query, and
// returns the answer's body.
func (c *Client) Do(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	r := Request{Method: method, Path: path, Body: body}
	if p, q, ok := strings.Cut(path, "?"); ok {
		query, err := url.ParseQuery(q)
		if err != nil {
			return nil, err
		}
		r.Path, r.Query = p, query
	}
	resp, err := c.Send(ctx, r)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Call sends a request and decodes its JSON answer into v (nil: ignored).
func (c *Client) Call(ctx context.Context, r Request, v any) error {
	resp, err := c.Send(ctx, r)
	if err != nil {
		return err
	}
	if v == nil {
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return resp.Decode(v)
}

// Decode reads a JSON answer into v, and closes it.
func (resp *Response) Decode(v any) error {
	defer resp.Body.Close()
	data, err := whole(resp.Body)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return errs.New(errs.Unavailable, "the daemon went away before it answered")
	}
	if err := json.Unmarshal(data, v); err != nil {
		return errs.New(errs.Internal, "the daemon's answer to %s is not what was expected: %w", resp.to, err)
	}
	return nil
}

// Raw sends a GET and returns the answer's bytes.
func (c *Client) Raw(ctx context.Context, path string, query url.Values) ([]byte, error) {
	resp, err := c.Send(ctx, Request{Method: "GET", Path: path, Query: query})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return whole(resp.Body)
}

// maxAnswer bounds an answer that is read as a whole: a list of ten thousand
// containers has some 20 MB.
const maxAnswer = 256 << 20

// whole reads an answer to its end, so that the connection serves again.
func whole(body io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, errs.New(errs.Unavailable, "the daemon's answer broke off: %w", err)
	case len(data) > maxAnswer:
		return nil, errs.New(errs.Internal, "the daemon's answer does not end: %d MB of it were read", maxAnswer>>20)
	}
	return data, nil
}

// dial connects, and starts the daemon where none answers and none was named.
func (c *Client) dial(ctx context.Context) (*conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, c.network, c.address)
	if err != nil && c.start != nil && ctx.Err() == nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, errs.New(errs.Denied, "permission denied on the daemon's socket %s: run lus with sudo", c.address)
		}
		if serr := c.start(); serr != nil {
			return nil, serr
		}
		raw, err = d.DialContext(ctx, c.network, c.address)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, errs.New(errs.Denied, "permission denied on the daemon's socket %s: run lus with sudo", c.address)
		}
		return nil, errs.With(errs.Unavailable, &noDaemon{shown: c.shown, cause: err})
	}
	return newConn(raw), nil
}

// noDaemon tells a daemon that does not answer from one that refuses.
type noDaemon struct {
	shown string
	cause error
}

func (e *noDaemon) Error() string {
	return fmt.Sprintf("Cannot connect to the Lus daemon at %s. Is lusd running?", e.shown)
}

func (e *noDaemon) Unwrap() error { return e.cause }

func (c *Client) take() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.idle); n > 0 {
		k := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return k
	}
	return nil
}

func (c *Client) put(k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, k)
}

func (r *Request) head(more, upgrade string) (head []byte, body []byte, err error) {
	if err := checkNames(r.Path); err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	path := r.Path
	if !strings.HasPrefix(path, "/lus/") {
		path = version + path
	}
	if len(r.Query) > 0 {
		path += "?" + r.Query.Encode()
	}
	if strings.ContainsAny(path, " \r\n") {
		return nil, nil, errs.New(errs.Invalid, "invalid name in %q", r.Path)
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: lus\r\nUser-Agent: Lus-Client\r\n%s", r.Method, path, more)
	for k, v := range r.Header {
		if strings.ContainsAny(k+v, "\r\n") {
			return nil, nil, errs.New(errs.Invalid, "a line break in the header %s", k)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	if upgrade != "" {
		b.WriteString("Connection: Upgrade\r\nUpgrade: " + upgrade + "\r\n")
	}
	switch {
	case r.Stream != nil:
		fmt.Fprintf(&b, "Content-Type: %s\r\nTransfer-Encoding: chunked\r\n", r.Type)
	case r.Body != nil:
		if sparse, ok := r.Body.(Sparse); ok {
			body, err = sparse.MarshalJSON()
		} else {
			body, err = json.Marshal(r.Body)
		}
		if err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	case r.Method == "POST" || r.Method == "PUT":
		b.WriteString("Content-Length: 0\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes(), body, nil
}

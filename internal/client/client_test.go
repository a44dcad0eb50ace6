package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/internal/base/errs"
)

// scripted is a daemon that reads a request's head and answers with given bytes,
// whatever it is asked; then it ends the connection.
func scripted(t *testing.T, answer string) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			for {
				line, err := r.ReadString('\n')
				if err != nil || line == "\r\n" {
					break
				}
			}
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return named(t, "unix://"+socket)
}

func named(t *testing.T, host string) *Client {
	t.Helper()
	c, err := New(Options{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAnswersAreRead(t *testing.T) {
	for what, answer := range map[string]string{
		"by length":          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"in chunks":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
		"until the end":      "HTTP/1.1 200 OK\r\n\r\nhello",
		"after interim":      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"from an old server": "HTTP/1.0 200 OK\n\nhello",
	} {
		got, err := scripted(t, answer).Raw(t.Context(), "/x", nil)
		if err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

func TestBrokenAnswersAreErrors(t *testing.T) {
	for what, answer := range map[string]string{
		"nothing":                  "",
		"not HTTP":                 "SSH-2.0-OpenSSH_9.2\r\n",
		"no status":                "HTTP/1.1 OK\r\n\r\n",
		"a status out of range":    "HTTP/1.1 7 OK\r\n\r\n",
		"half a head":              "HTTP/1.1 200 OK\r\nContent-Le",
		"no header":                "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
		"an endless line":          "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 1<<20),
		"endless headers":          "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 10000) + "\r\n",
		"a negative length":        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"a length that is none":    "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
		"a truncated body":         "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"a truncated chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhel",
		"chunks without an end":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"a chunk's size is none":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
		"a chunk's size is less":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
		"a chunk longer than said": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
		"an upgrade unasked for":   "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n",
		"endless trailers":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X: y\r\n", 10000),
	} {
		if got, err := scripted(t, answer).Raw(t.Context(), "/x", nil); err == nil {
			t.Errorf("%s: it was taken for %q", what, got)
		}
	}
}

func TestRefusalsHaveAKindAndTheDaemonsWords(t *testing.T) {
	for status, want := range map[string]errs.Kind{
		"400": errs.Invalid, "401": errs.Unauthenticated, "403": errs.Denied, "404": errs.NotFound,
		"409": errs.Conflict, "500": errs.Internal, "501": errs.Unsupported, "503": errs.Unavailable,
	} {
		err := scripted(t, "HTTP/1.1 "+status+" X\r\n\r\n{\"message\":\"why not\"}").Call(t.Context(), Request{Method: "POST", Path: "/x"}, nil)
		if errs.KindOf(err) != want || err.Error() != "Error response from daemon: why not" || Message(err) != "why not" {
			t.Errorf("%s: kind %d, %v", status, errs.KindOf(err), err)
		}
	}
	for _, body := range []string{"plain words", ""} {
		err := scripted(t, "HTTP/1.1 500 X\r\n\r\n"+body).Call(t.Context(), Request{Method: "GET", Path: "/x"}, nil)
		if err == nil || !strings.Contains(err.Error(), body) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestNamesCannotBreakOutOfTheRequest(t *testing.T) {
	c := scripted(t, "HTTP/1.1 200 OK\r\n\r\n")
	for _, r := range []Request{
		{Method: "GET", Path: "/containers/x HTTP/1.1\r\nHost: evil\r\n\r\n"},
		{Method: "GET", Path: "/x", Header: map[string]string{"X-Registry-Auth": "a\r\nX: y"}},
	} {
		if err := c.Call(t.Context(), r, nil); err == nil {
			t.Errorf("%q was sent", r.Path)
		}
	}
}

// A name that would make the path another one is refused, and so is an answer that
// leads elsewhere: neither is taken for success.
func TestNamesThatWouldLeadElsewhere(t *testing.T) {
	c := scripted(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	for path, says := range map[string]string{
		"/containers//stop": "invalid container name or ID: value is empty", "/containers/": "value is empty", "/containers/../json": "invalid container name or ID: ..",
		"/networks/": "invalid network name or ID: value is empty", "/volumes/.": "invalid volume name or ID: .",
		"/images//json": "invalid reference format", "/images/a/../b/json": "invalid reference format", "/images/a//b/json": "invalid reference format",
	} {
		if err := c.Call(t.Context(), Request{Method: "POST", Path: path}, nil); !errs.Is(err, errs.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"/containers/json", "/images/a/b/json", "/containers/..a/json", "/lus/v1/info"} {
		if err := c.Call(t.Context(), Request{Method: "GET", Path: path}, nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	moved := scripted(t, "HTTP/1.1 307 Moved\r\nLocation: /x\r\nContent-Length: 4\r\n\r\nthis")
	if err := moved.Call(t.Context(), Request{Method: "POST", Path: "/x"}, nil); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("an answer that leads elsewhere: %v", err)
	}
	already := scripted(t, "HTTP/1.1 304 Not Modified\r\n\r\n")
	if err := already.Call(t.Context(), Request{Method: "POST", Path: "/x"}, nil); err != nil {
		t.Errorf("what is so already: %v", err)
	}
}

type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	e.n += len(p)
	return copy(p, bytes.Repeat([]byte("x"), len(p))), nil
}

func TestAMessageThatDoesNotEndIsGivenUp(t *testing.T) {
	rest := &endless{}
	m := NewMessages(io.MultiReader(strings.NewReader(`{"n":1}{"n":2}`+"\n"+`{"s":"`), rest))
	for want := 1; want <= 2; want++ {
		var v struct{ N int }
		if err := m.Next(&v); err != nil || v.N != want {
			t.Fatalf("%d: %v, %v", want, v, err)
		}
	}
	var v struct{ S string }
	if err := m.Next(&v); err == nil || !strings.Contains(err.Error(), "does not end") || rest.n > 4*maxPiece {
		t.Errorf("%v after %d bytes", err, rest.n)
	}
}

// served runs a handler on a unix socket.
func served(t *testing.T, h http.HandlerFunc) (*Client, func() int) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	n := 0
	s := &http.Server{Handler: h, ConnState: func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			mu.Lock()
			n++
			mu.Unlock()
		}
	}}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return named(t, "unix://"+socket), func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func TestOneConnectionServesManyRequests(t *testing.T) {
	c, connections := served(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/v1.51/none" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write(append([]byte(`{"got":`), append(data, '}')...))
	})
	for i := range 20 {
		var out struct{ Got int }
		if err := c.Call(t.Context(), Request{Method: "POST", Path: "/some", Body: i}, &out); err != nil || out.Got != i {
			t.Fatalf("%d: %v, %v", i, out, err)
		}
		if err := c.Call(t.Context(), Request{Method: "POST", Path: "/none"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestABodyOfUnknownLengthArrives(t *testing.T) {
	c, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		_, _ = w.Write(got)
	})
	sent := bytes.Repeat([]byte("0123456789"), 100_000)
	resp, err := c.Send(t.Context(), Request{Method: "POST", Path: "/x", Stream: io.MultiReader(bytes.NewReader(sent), strings.NewReader("end")), Type: "application/x-tar"})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, append(sent, "end"...)) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}

type breaks struct{}

func (breaks) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

func TestHalfABodyIsNotTakenForAWhole(t *testing.T) {
	whole := make(chan bool, 1)
	c, _ := served(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		whole <- err == nil
	})
	_, err := c.Send(t.Context(), Request{Method: "POST", Path: "/x", Stream: io.MultiReader(strings.NewReader("half"), breaks{})})
	if err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("the error is %v", err)
	}
	if <-whole {
		t.Error("the daemon saw a whole body")
	}
}

func TestAContextEndsARequest(t *testing.T) {
	began := make(chan struct{})
	c, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		close(began)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := c.Send(ctx, Request{Method: "GET", Path: "/events"})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-began
	cancel()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the answer ended well")
	}
}

func TestAStreamHasTwoHalves(t *testing.T) {
	c, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "tcp" {
			t.Error("no upgrade was asked for")
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		in, _ := io.ReadAll(rw) // until the client's half is closed
		_, _ = conn.Write(frame(1, "got "+string(in)))
		_, _ = conn.Write(frame(2, "and an error"))
	})
	s, err := c.Hijack(t.Context(), Request{Method: "POST", Path: "/containers/x/attach"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Framed {
		t.Error("the stream is not said to be framed")
	}
	if _, err := io.WriteString(s, "typed"); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	if err := Demultiplex(&out, &errOut, s); err != nil || out.String() != "got typed" || errOut.String() != "and an error" {
		t.Errorf("%q, %q, %v", &out, &errOut, err)
	}
}

func TestARefusedStreamIsAnError(t *testing.T) {
	_, err := scripted(t, "HTTP/1.1 409 Conflict\r\n\r\n{\"message\":\"container x is not running\"}").Hijack(t.Context(), Request{Method: "POST", Path: "/exec/x/start"})
	if !errs.Is(err, errs.Conflict) {
		t.Errorf("the error is %v", err)
	}
}

func frame(stream byte, text string) []byte {
	head := []byte{stream, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return append(head, text...)
}

func TestBrokenFramesAreErrors(t *testing.T) {
	for what, in := range map[string][]byte{
		"half a head":           {1, 0, 0},
		"half a frame":          frame(1, "hello")[:10],
		"a stream that is none": frame(9, "x"),
		"raw text":              []byte("hello, this is no frame"),
		"the daemon's error":    frame(3, "it broke"),
		"a huge frame":          {1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'x'},
	} {
		if err := Demultiplex(io.Discard, io.Discard, bytes.NewReader(in)); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := net.Pipe()
		go func() { _, _ = a.Write(data); _ = a.Close() }()
		defer b.Close()
		_ = b.SetDeadline(time.Now().Add(5 * time.Second))
		k := newConn(b)
		resp, err := k.head("GET")
		if err != nil {
			return
		}
		if r, err := k.body("GET", resp); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20))
		}
	})
}

func TestNoDaemonIsSaidWithItsAddress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nobody.sock")
	err := named(t, "unix://"+path).Call(t.Context(), Request{Method: "GET", Path: "/x"}, nil)
	if !NoDaemon(err) || !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "lusd") {
		t.Errorf("the error is %v", err)
	}
}

func TestHostsThatAreNone(t *testing.T) {
	for _, h := range []string{"nonsense", "http://x", "unix://", "ssh://host"} {
		if _, err := New(Options{Host: h}); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", h, err)
		}
	}
}

func TestTheEndOfALogIsShown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("early\n", 5000)+"a\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := lastLines(path, 2); got != "b\nc" {
		t.Errorf("got %q", got)
	}
}

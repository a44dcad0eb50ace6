package docker_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/internal/model/container"
)

// input collects what reaches the process's standard input.
type input struct {
	mu     sync.Mutex
	text   strings.Builder
	closed chan struct{}
}

func (i *input) Write(b []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.text.Write(b)
}
func (i *input) Close() error { close(i.closed); return nil }
func (i *input) String() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.text.String()
}

// attached is a stream whose ends the test holds.
type attached struct {
	out      records
	in       *input
	detached chan struct{}
	stream   *container.Stream
}

func attach(tty bool) *attached {
	a := &attached{out: make(records, 10), in: &input{closed: make(chan struct{})}, detached: make(chan struct{})}
	var once sync.Once
	a.stream = &container.Stream{Tty: tty, Out: a.out, In: a.in, Detach: func() error {
		once.Do(func() { close(a.detached); close(a.out) })
		return nil
	}}
	return a
}

// upgrade attaches and returns the connection behind the answer's head.
func upgrade(t *testing.T, e *engine, query string) (*net.UnixConn, *bufio.Reader, string) {
	t.Helper()
	c := dial(t, serve(t, e))
	fmt.Fprintf(c, "POST /v1.51/containers/x/attach?%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n", query)
	r := bufio.NewReader(c)
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the head ended early: %v after %q", err, head.String())
		}
		if line == "\r\n" {
			return c, r, head.String()
		}
		head.WriteString(line)
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func within(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(5 * time.Minute):
		t.Fatalf("%s did not happen", what)
	}
}

func TestAttachFramesBothStreams(t *testing.T) {
	a := attach(false)
	_, r, head := upgrade(t, &engine{stream: a.stream}, "stdout=1&stderr=1&stream=1")
	if !strings.HasPrefix(head, "HTTP/1.1 101 UPGRADED\r\n") || !strings.Contains(head, "vnd.docker.multiplexed-stream") {
		t.Errorf("head %q", head)
	}
	a.out <- container.LogRecord{Data: []byte("out\n")}
	a.out <- container.LogRecord{Data: []byte("error"), Stderr: true}
	expect(t, r, "\x01\x00\x00\x00\x00\x00\x00\x04out\n\x02\x00\x00\x00\x00\x00\x00\x05error")
}

func TestATerminalIsRaw(t *testing.T) {
	a := attach(true)
	_, r, head := upgrade(t, &engine{stream: a.stream}, "stdout=1&stdin=1&stream=1")
	if !strings.Contains(head, "vnd.docker.raw-stream") {
		t.Errorf("head %q", head)
	}
	a.out <- container.LogRecord{Data: []byte("$ ")}
	expect(t, r, "$ ")
}

// Clients without input close their side at once; the output must still come.
func TestAStreamOutlivesTheClientsHalfOfIt(t *testing.T) {
	a := attach(false)
	c, r, _ := upgrade(t, &engine{stream: a.stream}, "stdout=1&stream=1")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	within(t, a.in.closed, "the end of the process's input")
	select {
	case <-a.detached:
		t.Fatal("the half-closed client was detached")
	case <-time.After(50 * time.Millisecond):
	}
	a.out <- container.LogRecord{Data: []byte("late\n")}
	expect(t, r, "\x01\x00\x00\x00\x00\x00\x00\x05late\n")
}

func TestAClientThatGoesAwayIsDetached(t *testing.T) {
	a := attach(false)
	c, _, _ := upgrade(t, &engine{stream: a.stream}, "stdout=1&stream=1")
	_ = c.Close()
	within(t, a.detached, "the detaching")
}

func TestTheEndOfTheOutputEndsTheConnection(t *testing.T) {
	a := attach(false)
	_, r, _ := upgrade(t, &engine{stream: a.stream}, "stdout=1&stream=1&stdin=1")
	_ = a.stream.Detach()
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("read %q, %v", rest, err)
	}
}

func TestDetachKeys(t *testing.T) {
	for _, c := range []struct {
		name, query, typed, passed string
		detaches                   bool
	}{
		{"the default", "", "ls\x10\x11", "ls", true},
		{"half of it is passed on", "", "a\x10b", "a\x10b", false},
		{"twice the first key", "", "\x10\x10\x11", "\x10", true},
		{"keys of one's own", "&detachKeys=ctrl-a,d", "x\x10\x11\x01d", "x\x10\x11", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := attach(true)
			conn, _, _ := upgrade(t, &engine{stream: a.stream}, "stdin=1&stdout=1&stream=1"+c.query)
			if _, err := io.WriteString(conn, c.typed); err != nil {
				t.Fatal(err)
			}
			if c.detaches {
				within(t, a.detached, "the detaching")
			} else {
				_ = conn.CloseWrite()
			}
			within(t, a.in.closed, "the end of the input")
			if got := a.in.String(); got != c.passed {
				t.Errorf("passed on %q, want %q", got, c.passed)
			}
		})
	}
}

func TestLogsWithTimes(t *testing.T) {
	out := make(records, 10)
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	out <- container.LogRecord{Time: at, Data: []byte("one\ntwo")}
	out <- container.LogRecord{Time: at, Data: []byte(" goes on\n")}
	close(out)
	e := &engine{log: out}
	_, body := ask(t, serve(t, e), "GET", "/v1.51/containers/x/logs?stdout=1&timestamps=1&tail=5&since=10.5", "")
	const stamp = "2026-01-02T03:04:05.000000600Z "
	if got := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' {
			return -1
		}
		return r
	}, body); !strings.Contains(got, stamp+"one\n"+stamp+"two") || strings.Contains(got, stamp+" goes") || !strings.Contains(got, " goes on\n") {
		t.Errorf("got %q", body)
	}
	o := e.last().(container.LogOptions)
	if o.Tail != 5 || !o.Since.Equal(time.Unix(10, 500000000)) || !o.Timestamps || o.Stderr {
		t.Errorf("options %+v", o)
	}
}

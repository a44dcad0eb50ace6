package docker_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"lus/internal/model/container"
)

func TestAttachOverAWebSocket(t *testing.T) {
	a := attach(false)
	path := serve(t, &engine{stream: a.stream})
	config, err := websocket.NewConfig("ws://lus/v1.51/containers/x/attach/ws?stream=1&stdin=1&stdout=1", "http://lus")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := websocket.NewClient(config, dial(t, path))
	if err != nil {
		t.Fatal(err)
	}
	a.out <- container.LogRecord{Data: []byte("out")}
	a.out <- container.LogRecord{Data: []byte("err"), Stderr: true}
	got := make([]byte, 6)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "outerr" {
		t.Errorf("got %q, %v: want both streams as they came", got, err)
	}
	if _, err := conn.Write([]byte("typed")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Minute); a.in.String() != "typed" && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		continue
	}
	if a.in.String() != "typed" {
		t.Errorf("the process read %q", a.in.String())
	}
	_ = conn.Close()
	<-a.detached
	<-a.in.closed
}

func TestTheSocketNeedsAWebSocket(t *testing.T) {
	resp, body := ask(t, serve(t, &engine{}), "GET", "/v1.51/containers/x/attach/ws", "")
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "WebSocket") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestContentTypes(t *testing.T) {
	path := serve(t, &engine{})
	for _, c := range []struct {
		head, body, says string
		status           int
	}{
		{"", `{"Image":"x"}`, "malformed Content-Type header ()", 400},
		{"Content-Type: text/plain\r\n", `{"Image":"x"}`, "must be 'application/json'", 400},
		{"Content-Type: application/json; charset=utf-8\r\n", `{"Image":"x"}`, "id-", 201},
		{"Content-Type: application/json\r\n", `{"Image":"x"}{"Image":"y"}`, "unexpected content after JSON", 400},
		{"Content-Type: application/json\r\n", ` `, "got EOF while reading", 400},
	} {
		status, text := post(t, path, c.head, c.body)
		if status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%q %s: %d %s, want %d and %q", c.head, c.body, status, text, c.status, c.says)
		}
	}
}

// post sends a create request with a head of its own.
func post(t *testing.T, path, head, body string) (int, string) {
	t.Helper()
	c := dial(t, path)
	fmt.Fprintf(c, "POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

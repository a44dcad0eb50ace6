package docker_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"lus/internal/model/container"
)

// raw sends bytes as they are and reads one answer.
func raw(t *testing.T, path, bytes string) (*http.Response, string) {
	t.Helper()
	c := dial(t, path)
	if _, err := io.WriteString(c, bytes); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

const create = "POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

func TestABodyThatStandsStillIsGivenUp(t *testing.T) {
	path := serveStalling(t, &engine{}, 50*time.Millisecond)
	for name, body := range map[string]string{
		"with a length": "Content-Length: 100\r\n\r\n{\"Image\":",
		"in chunks":     "Transfer-Encoding: chunked\r\n\r\n9\r\n{\"Image\":\r\n",
	} {
		resp, text := raw(t, path, create+body)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(text, "stood still") || !resp.Close {
			t.Errorf("%s: %d %s, close %v", name, resp.StatusCode, text, resp.Close)
		}
	}
}

// The deadline of a body is over with the body: an answer may take its time.
func TestAnAnswerHasNoDeadline(t *testing.T) {
	const limit = time.Second // in which even a busy machine reads what is there
	e := &engine{exits: make(chan container.Exit, 1)}
	c := dial(t, serveStalling(t, e, limit))
	r := bufio.NewReader(c)
	fmt.Fprint(c, create+"Content-Length: 2\r\n\r\n{}")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", resp, err)
	} else if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "POST /v1.51/containers/x/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(limit + limit/10) // let it pass
	e.exits <- container.Exit{Code: 3}
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), `"StatusCode":3`) {
		t.Errorf("%q, %v", text, err)
	}
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	path := serve(t, &engine{})
	large := `{"Labels":{"a":"` + strings.Repeat("x", 9<<20) + `"}}`
	for _, target := range []string{"/containers/create", "/containers/x/exec", "/networks/create"} {
		c := dial(t, path)
		// The answer may come before all of it is taken.
		go func() {
			_, _ = fmt.Fprintf(c, "POST /v1.51%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", target, len(large), large)
		}()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "larger than 8388608 bytes") {
			t.Errorf("%s: %d %s", target, resp.StatusCode, text)
		}
		_ = resp.Body.Close()
	}
}

func TestPipelinedRequestsAreAnsweredInTurn(t *testing.T) {
	c := dial(t, serve(t, &engine{}))
	fmt.Fprint(c, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"+
		create+"Content-Length: 2\r\n\r\n{}"+
		"GET /v1.51/nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(c)
	for i, want := range []int{200, 201, 404, 200} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != want {
			t.Errorf("answer %d: %d, want %d", i, resp.StatusCode, want)
		}
	}
}

func TestAClientThatWaitsForContinue(t *testing.T) {
	c := dial(t, serve(t, &engine{}))
	r := bufio.NewReader(c)
	fmt.Fprint(c, create+"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	fmt.Fprint(c, "{}")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
	// Refused before the body is asked for.
	resp, text := raw(t, serve(t, &engine{}), "POST /v1.51/nothing HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99\r\n\r\n")
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

func TestBodiesThatAreNoJSON(t *testing.T) {
	path := serve(t, &engine{})
	for _, c := range []struct{ kind, body, says string }{
		{"text/plain", "{}", "unsupported Content-Type header (text/plain): must be 'application/json'"},
		{"application/json; charset=utf-8", "<x>", "invalid JSON"},
		{"application/json", "", ""},
		{"application/json", "{} {}", "unexpected content after JSON"},
		{"application/json", `"text"`, "invalid JSON"},
		{"nonsense/;", "{}", "malformed Content-Type header"},
		{"", "{}", "malformed Content-Type header"},
	} {
		resp, text := raw(t, path, fmt.Sprintf("POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", c.kind, len(c.body), c.body))
		if ok := resp.StatusCode < 400; ok != (c.says == "") || !strings.Contains(text, c.says) {
			t.Errorf("%q %q: %d %s, want %q", c.kind, c.body, resp.StatusCode, text, c.says)
		}
	}
}

func TestLogsWithDetails(t *testing.T) {
	out := make(records, 2)
	out <- container.LogRecord{Data: []byte("one\ntwo\n")}
	close(out)
	c := sample()
	c.Config.Labels = map[string]string{"a": "b c", "other": "x"}
	c.Config.Env = []string{"WHO=me,you", "PATH=/"}
	c.HostConfig.LogConfig.Config = map[string]string{"labels": "a,none", "env": "WHO"}
	_, body := ask(t, serve(t, &engine{c: c, log: out}), "GET", "/v1.51/containers/x/logs?stdout=1&details=1", "")
	const details = "WHO=me%2Cyou,a=b+c "
	if !strings.HasSuffix(body, details+"one\n"+details+"two\n") {
		t.Errorf("got %q", body)
	}
}

package docker_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"lus/internal/api/docker"
	"lus/internal/model/container"
	"lus/internal/model/event"
)

// fuzzed is the API over an engine that takes everything.
func fuzzed() http.Handler {
	log, events, exits := make(records), make(chan event.Event), make(chan container.Exit)
	close(log)
	close(events)
	close(exits)
	e := &engine{c: sample(), log: log, events: events, exits: exits}
	return docker.New(docker.Deps{Containers: e, Networks: e, Volumes: e, Images: e, System: e, Log: slog.New(slog.DiscardHandler)})
}

// answered makes a request and checks what holds for every answer: no panic,
// and an error is a JSON object with a message.
func answered(t *testing.T, h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	r, err := http.NewRequest(method, "http://x", io.NopCloser(strings.NewReader(body)))
	if err != nil {
		t.Skip()
	}
	if r.URL, err = url.Parse(target); err != nil || !strings.HasPrefix(r.URL.Path, "/") {
		t.Skip()
	}
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code == http.StatusInternalServerError && strings.Contains(w.Body.String(), "internal fault") {
		t.Fatalf("%s %s %q: a panic", method, target, body)
	}
	if w.Code >= 400 {
		var said struct{ Message string }
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || said.Message == "" {
			t.Fatalf("%s %s %q: %d %q is no error that clients can read", method, target, body, w.Code, w.Body)
		}
	}
	return w
}

func FuzzCreateBody(f *testing.F) {
	f.Add([]byte(`{"Image":"busybox","Cmd":["true"],"HostConfig":{"Memory":5,"PortBindings":{"80/tcp":[{"HostPort":"1"}]},"Ulimits":[{"Name":"x"}]}}`))
	f.Add([]byte(`{"Image":"x","Cmd":"text","Entrypoint":[],"Volumes":{"/a":{}},"NetworkingConfig":{"EndpointsConfig":{"n":null}},"Healthcheck":{"Test":["NONE"]}}`))
	f.Add([]byte(`{"HostConfig":null,"Labels":null,"StopTimeout":-1}`))
	h := fuzzed()
	f.Fuzz(func(t *testing.T, body []byte) {
		w := answered(t, h, "POST", "/v1.51/containers/create", string(body))
		if w.Code != http.StatusCreated {
			return
		}
		// What was taken can be given back, and taken again as the same.
		var req container.CreateRequest
		if err := json.Unmarshal(body, &req); err != nil {
			if len(body) > 0 {
				t.Fatalf("%q was taken and cannot be read: %v", body, err)
			}
			return
		}
		once, err := json.Marshal(req)
		if err != nil {
			t.Fatalf("%q was taken and cannot be written: %v", body, err)
		}
		var again container.CreateRequest
		if err := json.Unmarshal(once, &again); err != nil {
			t.Fatalf("%s, written by us, cannot be read: %v", once, err)
		}
		if twice, _ := json.Marshal(again); !bytes.Equal(once, twice) {
			t.Fatalf("written %s, read and written %s", once, twice)
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("GET", "/v1.51/containers/json", `all=1&limit=-1&filters={"id":["x"]}`)
	f.Add("GET", "/containers/x/logs", "stdout=1&since=1.5&until=2020-01-01T00:00:00Z&tail=7&timestamps=yes")
	f.Add("POST", "/v1.30/containers/x/stop", "t=7&signal=9")
	f.Add("GET", "/v1.24/events", `since=1&until=2&filters={"type":{"container":true}}`)
	f.Add("POST", "/containers/x/wait", "condition=removed")
	f.Add("POST", "/containers/x/start", "detachKeys=ctrl-a,b")
	f.Add("GET", "/plugins/a/json", "")
	h := fuzzed()
	f.Fuzz(func(t *testing.T, method, path, query string) {
		switch strings.TrimLeft(path, "/v.0123456789") {
		case "containers/json", "containers/x/logs", "containers/x/stop", "containers/x/wait", "containers/x/start", "events", "swarm", "plugins/a/json", "nothing":
		default:
			t.Skip() // the rest would ask an engine that is not there
		}
		answered(t, h, method, path+"?"+url.PathEscape(query), "")
		answered(t, h, method, path+"?"+query, "")
	})
}

func FuzzRegistryAuth(f *testing.F) {
	f.Add("eyJ1c2VybmFtZSI6InUifQ==")
	f.Add("e30")
	f.Add("===")
	h := fuzzed()
	f.Fuzz(func(t *testing.T, head string) {
		r := httptest.NewRequest("POST", "/v1.51/build?remote=http://x&squash=1", nil)
		r.Header["X-Registry-Config"] = []string{head}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 400 || w.Code == http.StatusInternalServerError {
			t.Fatalf("%q: %d %s", head, w.Code, w.Body)
		}
	})
}

// What the targets stand on holds for ordinary requests too.
func TestOrdinaryRequestsUnderFuzz(t *testing.T) {
	begin := time.Now()
	w := answered(t, fuzzed(), "GET", "/v1.51/containers/json?all=1", "")
	if w.Code != http.StatusOK || time.Since(begin) > time.Minute {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

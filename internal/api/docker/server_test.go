package docker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/internal/api/docker"
	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/event"
	"lus/internal/model/filter"
)

// engine answers what the test put into it. It embeds the interfaces, so that
// a test touches only what it is about; anything else panics, and becomes 500.
type engine struct {
	docker.Containers
	docker.Networks
	docker.Volumes
	docker.Images
	docker.System

	mu     sync.Mutex
	c      *container.Container
	err    error
	stream *container.Stream
	log    container.LogReader
	events chan event.Event
	exits  chan container.Exit
	asked  any
}

func (e *engine) note(v any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = v
}

func (e *engine) last() any {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

func (e *engine) CreateContainer(_ context.Context, name string, req *container.CreateRequest) (*container.CreateResponse, error) {
	e.note(req)
	return &container.CreateResponse{ID: "id-" + name}, e.err
}
func (e *engine) StartContainer(context.Context, string) error { return e.err }
func (e *engine) StopContainer(_ context.Context, name, signal string, timeout *int) error {
	e.note(fmt.Sprint(name, " ", signal, " ", timeout != nil && *timeout == 7))
	return e.err
}
func (e *engine) InspectContainer(context.Context, string, bool) (*container.Container, error) {
	return e.c, e.err
}
func (e *engine) ListContainers(_ context.Context, o container.ListOptions) ([]*container.Container, error) {
	e.note(o)
	return []*container.Container{e.c}, e.err
}
func (e *engine) Attach(context.Context, string, container.AttachOptions) (*container.Stream, error) {
	return e.stream, e.err
}
func (e *engine) Logs(_ context.Context, _ string, o container.LogOptions) (container.LogReader, bool, error) {
	e.note(o)
	return e.log, false, e.err
}
func (e *engine) WaitContainer(context.Context, string, string) (<-chan container.Exit, error) {
	return e.exits, e.err
}
func (e *engine) Events(context.Context, time.Time, time.Time, filter.Filters) (<-chan event.Event, error) {
	return e.events, e.err
}

// records is a LogReader of fixed records; it ends when the channel does.
type records chan container.LogRecord

func (r records) Next() (container.LogRecord, error) {
	rec, ok := <-r
	if !ok {
		return rec, io.EOF
	}
	return rec, nil
}
func (r records) Close() error { return nil }

// serve answers over a real unix socket and returns its path.
func serve(t *testing.T, e *engine) string {
	t.Helper()
	return serveStalling(t, e, 0)
}

// serveStalling is serve with a bound on how long clients may stand still.
func serveStalling(t *testing.T, e *engine, stall time.Duration) string {
	t.Helper()
	return serveContainers(t, e, e, stall)
}

// serveContainers is serveStalling with containers of somebody else.
func serveContainers(t *testing.T, c docker.Containers, e *engine, stall time.Duration) string {
	t.Helper()
	return serveHandler(t, func(h http.Handler) http.Handler { return h }, c, e, stall)
}

// serveHandler is serveContainers with something around the handler.
func serveHandler(t *testing.T, around func(http.Handler) http.Handler, c docker.Containers, e *engine, stall time.Duration) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: around(docker.New(docker.Deps{
		Containers: c, Networks: e, Volumes: e, Images: e, System: e, Log: slog.New(slog.DiscardHandler), Stall: stall,
	})), ReadHeaderTimeout: time.Minute}
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(ln) })
	t.Cleanup(func() { _ = srv.Close(); running.Wait() })
	return path
}

func dial(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(5 * time.Minute))
	return c
}

// ask makes one request and returns the answer with its whole body.
func ask(t *testing.T, path, method, target, body string) (*http.Response, string) {
	t.Helper()
	c := dial(t, path)
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, target, len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

func TestVersionsAndErrors(t *testing.T) {
	e := &engine{err: errs.New(errs.NotFound, "No such container: x")}
	path := serve(t, e)
	for _, c := range []struct {
		method, target, body string
		status               int
		says                 string
	}{
		{"GET", "/_ping", "", 200, "OK"},
		{"HEAD", "/_ping", "", 200, ""},
		{"GET", "/v1.51/_ping", "", 200, "OK"},
		{"GET", "/v1.24/_ping", "", 200, "OK"},
		{"GET", "/v1.10/_ping", "", 400, "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"},
		{"GET", "/v1.23/_ping", "", 400, "too old"},
		{"GET", "/v1.99/_ping", "", 400, "client version 1.99 is too new. Maximum supported API version is 1.51"},
		{"GET", "/v2/_ping", "", 400, "invalid API version"},
		{"GET", "/v1.2.3/_ping", "", 400, "invalid API version"},
		{"GET", "/v1.x/_ping", "", 404, "page not found"}, // what is no number is no version
		{"HEAD", "/v1.51/containers/x/logs?stdout=1&follow=1", "", 404, ""},
		{"GET", "/v1.51/nothing", "", 404, "page not found"},
		{"GET", "/v1.51/containers/x/json", "", 404, "No such container: x"},
		{"POST", "/v1.51/containers/x/wait?condition=never", "", 400, "invalid condition"},
		{"POST", "/v1.51/containers/create", "{", 400, "invalid JSON"},
		{"POST", "/v1.51/containers/create", `{"Cmd":7}`, 400, "invalid JSON"},
		{"POST", "/v1.51/containers/create", strings.Repeat("[", 1<<20), 400, "invalid JSON"},
		{"GET", "/v1.51/containers/json?filters=[1]", "", 400, "invalid filters"},
		{"GET", "/v1.51/containers/json?limit=x", "", 400, "limit must be a number"},
		{"POST", "/v1.51/containers/x/resize?h=-1&w=2", "", 400, "terminal"},
		{"GET", "/v1.51/containers/x/logs", "", 400, "at least one stream"},
		{"GET", "/v1.51/containers/x/logs?stdout=1&since=yesterday", "", 400, "not a time"},
		{"POST", "/v1.51/containers/x/attach?detachKeys=ctrl-1", "", 400, "detach keys"},
		{"GET", "/v1.51/swarm", "", 503, "not a swarm manager"},
		{"GET", "/v1.51/services/x", "", 503, "not a swarm manager"},
	} {
		resp, body := ask(t, path, c.method, c.target, c.body)
		if resp.StatusCode != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %.60s: %d %.120q, want %d and %q", c.method, c.target, resp.StatusCode, body, c.status, c.says)
		}
		if c.status >= 400 && resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %.60s: an error of type %q: clients compare it", c.method, c.target, resp.Header.Get("Content-Type"))
		}
		if resp.Header.Get("Api-Version") != docker.Version {
			t.Errorf("%s %.60s: no Api-Version", c.method, c.target)
		}
	}
}

func TestKindsBecomeStatuses(t *testing.T) {
	e := &engine{}
	path := serve(t, e)
	for kind, want := range map[errs.Kind]int{
		errs.NotModified: 304, errs.Conflict: 409, errs.CommandNotFound: 400, errs.Denied: 403, errs.Unavailable: 503, errs.Internal: 500,
	} {
		e.err = errs.New(kind, "why")
		if resp, _ := ask(t, path, "POST", "/v1.51/containers/x/start", ""); resp.StatusCode != want {
			t.Errorf("kind %d: status %d, want %d", kind, resp.StatusCode, want)
		}
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	path := serve(t, &engine{})
	for range 2 { // the second shows that the first did not end the daemon
		if resp, body := ask(t, path, "GET", "/v1.51/networks", ""); resp.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "internal fault") {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
}

func TestOptionsReachTheEngine(t *testing.T) {
	e := &engine{c: sample(), log: make(records)}
	path := serve(t, e)
	ask(t, path, "POST", "/v1.51/containers/x/stop?t=7&signal=SIGINT", "")
	if got := e.last(); got != "x SIGINT true" {
		t.Errorf("stop: %v", got)
	}
	ask(t, path, "GET", `/v1.51/containers/json?all=1&limit=3&filters={"status":{"running":true,"exited":false}}`, "")
	o := e.last().(container.ListOptions)
	if !o.All || o.Limit != 3 || len(o.Filters["status"]) != 1 || o.Filters["status"][0] != "running" {
		t.Errorf("list: %+v", o)
	}
	ask(t, path, "POST", "/v1.51/containers/create?name=a", `{"Image":"i","Cmd":"one","HostConfig":{"Memory":5}}`)
	req := e.last().(*container.CreateRequest)
	if req.Image != "i" || len(req.Cmd) != 1 || req.Entrypoint != nil || req.HostConfig.Memory != 5 {
		t.Errorf("create: %+v", req)
	}
}

func sample() *container.Container {
	return &container.Container{
		ID: strings.Repeat("ab", 32), Name: "web", Path: "sh", Args: []string{"-c", "sleep 1"}, Image: "sha256:1",
		Created:    time.Now().Add(-time.Hour),
		Config:     &container.Config{Image: "busybox", ExposedPorts: map[string]struct{}{"80/tcp": {}, "90/udp": {}}},
		HostConfig: &container.HostConfig{NetworkMode: "bridge"},
		State:      container.State{Status: container.Running, Pid: 5, StartedAt: time.Now().Add(-5 * time.Minute)},
		Ports:      container.PortMap{"80/tcp": {{HostIP: "0.0.0.0", HostPort: "8080"}}},
		Networks:   map[string]*container.Endpoint{"bridge": {IPAddress: "172.18.0.2", Gateway: "172.18.0.1", IPPrefixLen: 16}},
	}
}

func TestInspectAndListHaveWhatClientsRead(t *testing.T) {
	path := serve(t, &engine{c: sample()})
	_, body := ask(t, path, "GET", "/v1.51/containers/web/json", "")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	at := func(v any, keys ...string) any {
		for _, k := range keys {
			m, _ := v.(map[string]any)
			v = m[k]
		}
		return v
	}
	for _, c := range []struct {
		keys []string
		want any
	}{
		{[]string{"Name"}, "/web"},
		{[]string{"State", "Running"}, true},
		{[]string{"State", "FinishedAt"}, "0001-01-01T00:00:00Z"},
		{[]string{"NetworkSettings", "IPAddress"}, "172.18.0.2"},
		{[]string{"NetworkSettings", "Gateway"}, "172.18.0.1"},
		{[]string{"NetworkSettings", "Networks", "bridge", "IPAddress"}, "172.18.0.2"},
		{[]string{"NetworkSettings", "Ports", "90/udp"}, nil},
		{[]string{"HostConfig", "NetworkMode"}, "bridge"},
		{[]string{"Config", "Image"}, "busybox"},
	} {
		if v := at(got, c.keys...); v != c.want {
			t.Errorf("%v is %v, want %v", c.keys, v, c.want)
		}
	}
	_, body = ask(t, path, "GET", "/v1.51/containers/json", "")
	for _, want := range []string{`"Names":["/web"]`, `"Status":"Up 5 minutes"`, `"Command":"sh -c 'sleep 1'"`,
		`"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"PrivatePort":90,"Type":"udp"}]`, `"Labels":{}`, `"Mounts":[]`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
}

func TestWaitSendsItsHeadBeforeTheExit(t *testing.T) {
	e := &engine{exits: make(chan container.Exit, 1)}
	c := dial(t, serve(t, e))
	fmt.Fprint(c, "POST /v1.51/containers/x/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil) // returns with the head alone
	if err != nil {
		t.Fatal(err)
	}
	e.exits <- container.Exit{Code: 3}
	var got struct{ StatusCode int }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.StatusCode != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	_ = resp.Body.Close()
}

func TestEventsSendTheirHeadAndEachEventAtOnce(t *testing.T) {
	e := &engine{events: make(chan event.Event)}
	c := dial(t, serve(t, e))
	fmt.Fprint(c, "GET /v1.51/events HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(resp.Body)
	for _, action := range []string{"create", "start"} {
		e.events <- event.New("container", action, "id", map[string]string{"image": "i"}, time.Now())
		var got event.Event
		if err := dec.Decode(&got); err != nil || got.Action != action || got.Status != action || got.From != "i" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	_ = c.Close()
}

package container

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lus/internal/cli/command"
	"lus/internal/client"
)

// engine is a daemon of one container, over the wire.
type engine struct {
	t    *testing.T
	host string

	mu      sync.Mutex
	calls   []string
	started chan struct{}
	killed  chan string
	exit    int    // its exit code
	refuses string // why the start fails
	pulls   int    // how often the image has to be pulled first
	input   string // what came by standard input
	exec    bool   // the command is exec
	waits   bool   // for the end of an exec, where it is asked to
	ended   bool   // the exec is
}

func (g *engine) call(s string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, s)
}

func fake(t *testing.T, g *engine) *engine {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g.t, g.host, g.started, g.killed = t, "unix://"+socket, make(chan struct{}), make(chan string, 9)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1.51/containers/create", g.create)
	mux.HandleFunc("POST /v1.51/images/create", g.pull)
	mux.HandleFunc("POST /v1.51/containers/id/attach", g.attach)
	mux.HandleFunc("POST /v1.51/containers/id/wait", g.wait)
	mux.HandleFunc("POST /v1.51/containers/id/start", g.start)
	mux.HandleFunc("POST /v1.51/containers/id/kill", func(_ http.ResponseWriter, r *http.Request) { g.killed <- r.FormValue("signal") })
	mux.HandleFunc("POST /v1.51/containers/id/exec", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"Id":"e"}`) })
	mux.HandleFunc("POST /v1.51/exec/e/start", g.startExec)
	mux.HandleFunc("GET /v1.51/exec/e/json", g.inspectExec)
	s := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return g
}

func (g *engine) create(w http.ResponseWriter, _ *http.Request) {
	g.call("create")
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pulls > 0 {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"No such image: busybox:latest"}`)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"Id":"id","Warnings":["a warning"]}`)
}

func (g *engine) pull(w http.ResponseWriter, r *http.Request) {
	g.call("pull " + r.FormValue("fromImage"))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pulls--
	if g.pulls > 0 {
		_, _ = io.WriteString(w, `{"status":"Pulling"}`+"\n"+`{"errorDetail":{"message":"no such repository"},"error":"no such repository"}`)
		return
	}
	_, _ = io.WriteString(w, `{"status":"Pulling from library/busybox","id":"latest"}`+"\n"+`{"status":"Downloading","progressDetail":{"current":1,"total":2},"id":"abc"}`+"\n"+`{"status":"Pull complete","progressDetail":{},"id":"abc"}`)
}

func (g *engine) attach(w http.ResponseWriter, r *http.Request) {
	g.call("attach")
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		g.t.Error(err)
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	go func() {
		defer conn.Close()
		<-g.started
		if r.FormValue("stdin") == "1" {
			in, _ := io.ReadAll(rw)
			g.mu.Lock()
			g.input = string(in)
			g.mu.Unlock()
		}
		for _, f := range []struct {
			stream byte
			text   string
		}{{1, "out\n"}, {2, "err\n"}} {
			head := []byte{f.stream, 0, 0, 0, 0, 0, 0, 0}
			binary.BigEndian.PutUint32(head[4:], uint32(len(f.text)))
			_, _ = conn.Write(append(head, f.text...))
		}
	}()
}

func (g *engine) startExec(w http.ResponseWriter, r *http.Request) {
	g.attach(w, r)
	close(g.started)
}

// inspectExec tells of the end at the second look, as where the output ends
// before the process was seen to; one that waits has it at the first.
func (g *engine) inspectExec(w http.ResponseWriter, r *http.Request) {
	g.call("exec wait=" + r.FormValue("wait"))
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended && !(g.waits && r.FormValue("wait") == "1") {
		g.ended = true
		_, _ = io.WriteString(w, `{"Running":true,"ExitCode":null}`)
		return
	}
	_, _ = io.WriteString(w, `{"Running":false,"ExitCode":`+strconv.Itoa(g.exit)+`}`)
}

func (g *engine) wait(w http.ResponseWriter, r *http.Request) {
	g.call("wait " + r.FormValue("condition"))
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-g.started:
		g.mu.Lock()
		code := g.exit
		g.mu.Unlock()
		if code == -1 {
			if s := <-g.killed; s != "CONT" {
				g.t.Errorf("the signal came as %q", s)
			}
			code = 143
			g.mu.Lock()
			g.exit = code
			g.mu.Unlock()
		}
		_, _ = io.WriteString(w, `{"StatusCode":`+strconv.Itoa(code)+`}`)
	case <-r.Context().Done():
	}
}

func (g *engine) start(w http.ResponseWriter, _ *http.Request) {
	g.call("start")
	if g.refuses != "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"message":"`+g.refuses+`"}`)
		return
	}
	w.WriteHeader(http.StatusNoContent)
	close(g.started)
}

// run runs our command in this process with an input.
func (g *engine) run(input string, args ...string) (code int, out, errOut string) {
	g.t.Helper()
	dir := g.t.TempDir()
	file := func(name, text string) *os.File {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			g.t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			g.t.Fatal(err)
		}
		g.t.Cleanup(func() { _ = f.Close() })
		return f
	}
	c, err := client.New(client.Options{Host: g.host})
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	e := &command.Env{In: file("in", input), Out: file("out", ""), Err: file("err", ""), Program: "lus", Client: c}
	verb := runCommand()
	if g.exec {
		verb = execCommand()
	}
	code = command.Code(e, command.Run(context.Background(), e, "lus "+verb.Name, verb, args))
	o, _ := os.ReadFile(e.Out.Name())
	x, _ := os.ReadFile(e.Err.Name())
	return code, string(o), string(x)
}

func TestRunAttachesAndWaitsBeforeItStarts(t *testing.T) {
	g := fake(t, &engine{exit: 42})
	code, out, errOut := g.run("", "--rm", "busybox")
	if code != 42 || out != "out\n" || errOut != "WARNING: a warning\nerr\n" {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
	if len(g.calls) != 4 || g.calls[0] != "create" || g.calls[3] != "start" {
		t.Errorf("the calls were %v", g.calls)
	}
	if !strings.Contains(strings.Join(g.calls, ","), "wait removed") {
		t.Errorf("with --rm it does not wait for the removal: %v", g.calls)
	}
}

func TestRunGivesInputAndItsEnd(t *testing.T) {
	g := fake(t, &engine{})
	if code, out, _ := g.run("typed\nmore", "-i", "busybox", "cat"); code != 0 || out != "out\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
	if g.input != "typed\nmore" {
		t.Errorf("the input was %q", g.input)
	}
}

func TestRunInTheBackgroundOnlyStarts(t *testing.T) {
	g := fake(t, &engine{})
	if code, out, _ := g.run("", "-d", "busybox"); code != 0 || out != "id\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
	if strings.Join(g.calls, ",") != "create,start" {
		t.Errorf("the calls were %v", g.calls)
	}
}

func TestRunPullsWhatIsNotHere(t *testing.T) {
	g := fake(t, &engine{pulls: 1})
	code, out, errOut := g.run("", "busybox")
	if code != 0 || out != "out\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
	want := "Unable to find image 'busybox:latest' locally\nlatest: Pulling from library/busybox\nabc: Pull complete\n"
	if !strings.HasPrefix(errOut, want) {
		t.Errorf("it says %q, want %q first", errOut, want)
	}
	if !strings.HasPrefix(strings.Join(g.calls, ","), "create,pull busybox:latest,create") {
		t.Errorf("the calls were %v", g.calls)
	}
}

func TestRunOfAnImageThatCannotBePulled(t *testing.T) {
	g := fake(t, &engine{pulls: 9})
	idFile := filepath.Join(t.TempDir(), "cid")
	code, _, errOut := g.run("", "--cidfile", idFile, "busybox")
	if code != 125 || !strings.Contains(errOut, "no such repository") || !strings.Contains(errOut, "lus run --help") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
	if _, err := os.Stat(idFile); !errors.Is(err, os.ErrNotExist) {
		t.Error("the id file is there")
	}
	if code, _, _ := g.run("", "--pull", "never", "busybox"); code != 125 || strings.Count(strings.Join(g.calls, ","), "pull") != 1 {
		t.Errorf("--pull never: exit code %d, calls %v", code, g.calls)
	}
}

func TestRunWritesTheIDFileOnce(t *testing.T) {
	g := fake(t, &engine{})
	idFile := filepath.Join(t.TempDir(), "cid")
	if code, _, errOut := g.run("", "-d", "--cidfile", idFile, "busybox"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	if data, err := os.ReadFile(idFile); err != nil || string(data) != "id" {
		t.Errorf("the file has %q, %v", data, err)
	}
	if code, _, errOut := g.run("", "-d", "--cidfile", idFile, "busybox"); code != 125 || !strings.Contains(errOut, idFile) {
		t.Errorf("a second time: exit code %d: %s", code, errOut)
	}
}

func TestAStartThatFailsHasDockersExitCode(t *testing.T) {
	for text, want := range map[string]int{
		"exec: x: executable file not found in $PATH": 127,
		"exec: /x: no such file or directory":         127,
		"exec: /etc/passwd: permission denied":        126,
		"exec: /etc: is a directory":                  126,
		"driver failed: port is already allocated":    125,
	} {
		for _, detach := range []string{"-d", "--rm"} {
			g := fake(t, &engine{refuses: text})
			if code, _, errOut := g.run("", detach, "busybox"); code != want || !strings.Contains(errOut, text) {
				t.Errorf("%s: exit code %d, want %d: %s", text, code, want, errOut)
			}
		}
	}
}

func TestSignalsReachTheContainer(t *testing.T) {
	g := fake(t, &engine{exit: -1})
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		<-g.started
		// One is enough, at once: SIGCONT, which is in the list, harms nobody.
		_ = syscall.Kill(os.Getpid(), syscall.SIGCONT)
	}()
	code, _, _ := g.run("", "busybox")
	if code != 143 {
		t.Errorf("exit code %d", code)
	}
	<-seen
}

// The end of an exec is asked for once, when it begins; a daemon that does not
// wait for it is asked again.
func TestExecAsksForTheEndOnce(t *testing.T) {
	g := fake(t, &engine{exec: true, exit: 3, waits: true})
	if code, out, errOut := g.run("", "id", "false"); code != 3 || out != "out\n" || errOut != "err\n" {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
	if calls := strings.Join(g.calls, ","); strings.Count(calls, "exec wait") != 1 {
		t.Errorf("the calls were %v", calls)
	}
	g = fake(t, &engine{exec: true, exit: 3})
	if code, out, _ := g.run("", "id", "false"); code != 3 || out != "out\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
	if calls := strings.Join(g.calls, ","); !strings.Contains(calls, "exec wait=1") || !strings.Contains(calls, "exec wait=,") && !strings.HasSuffix(calls, "exec wait=") {
		t.Errorf("the calls were %v", calls)
	}
}

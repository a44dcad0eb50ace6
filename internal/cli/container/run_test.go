package container

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
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
	"time"

	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/container"
)

// engine is a daemon of one container, over the wire.
type engine struct {
	t    *testing.T
	host string

	mu      sync.Mutex
	calls   []string
	started chan struct{}
	killed  chan string
	exit    int      // its exit code
	refuses string   // why the start fails
	pulls   int      // how often the image has to be pulled first
	input   string   // what came by standard input
	reads   bool     // the exec, its input
	exec    bool     // the command is exec
	ended   bool     // the exec is
	out     *os.File // what the command has for its output; nil: a file
	atOnce  bool     // it runs what it makes, where it is asked to
}

// daemons are a daemon of ours and one of Docker's.
func daemons() map[string]bool { return map[string]bool{"ours": true, "Docker's": false} }

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
	g.t, g.host, g.started, g.killed = t, "unix://"+socket, make(chan struct{}), make(chan string, 999)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1.51/containers/create", g.create)
	mux.HandleFunc("POST /v1.51/images/create", g.pull)
	mux.HandleFunc("POST /v1.51/containers/id/attach", g.attach)
	mux.HandleFunc("POST /v1.51/containers/id/wait", g.wait)
	mux.HandleFunc("POST /v1.51/containers/id/start", g.start)
	mux.HandleFunc("POST /v1.51/containers/id/kill", func(_ http.ResponseWriter, r *http.Request) { g.killed <- r.FormValue("signal") })
	mux.HandleFunc("POST /v1.51/containers/id/exec", g.createExec)
	mux.HandleFunc("POST /v1.51/exec/e/start", g.startExec)
	mux.HandleFunc("GET /v1.51/exec/e/json", g.inspectExec)
	s := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return g
}

func (g *engine) create(w http.ResponseWriter, r *http.Request) {
	g.call("create")
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pulls > 0 {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"No such image: busybox:latest"}`)
		return
	}
	if g.atOnce && r.Header.Get("Upgrade") == container.RunProtocol {
		g.runAll(w, r)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"Id":"id","Warnings":["a warning"]}`)
}

// runAll runs what was made on the connection it was asked for on.
func (g *engine) runAll(w http.ResponseWriter, r *http.Request) {
	g.calls[len(g.calls)-1] += " and run"
	var req container.CreateRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		g.t.Error(err)
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		g.t.Error(err)
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: lus-run\r\n\r\n")
	send(conn, container.FrameCreated, `{"Id":"id","Warnings":["a warning"]}`)
	go func() {
		defer conn.Close()
		switch {
		case g.refuses != "":
			send(conn, container.FrameFailed, `{"Status":400,"Message":"`+g.refuses+`"}`)
			return
		case !g.exec && !req.AttachStdout:
			if g.exit >= 0 {
				send(conn, container.FrameStarted, "")
			}
			return
		}
		close(g.started)
		g.talk(conn, rw, req.AttachStdin)
		if g.exit == -1 {
			g.exit = 100 + len(<-g.killed) // CONT: 104
		}
		if g.exit >= 0 {
			send(conn, container.FrameEnded, `{"StatusCode":`+strconv.Itoa(g.exit)+`}`)
		}
	}()
}

func (g *engine) createExec(w http.ResponseWriter, r *http.Request) {
	if g.atOnce && r.Header.Get("Upgrade") == container.RunProtocol {
		g.call("exec")
		g.runAll(w, r)
		return
	}
	var cfg container.ExecConfig
	if err := json.NewDecoder(r.Body).Decode(&cfg); err != nil {
		g.t.Error(err)
	}
	g.reads = cfg.AttachStdin
	_, _ = io.WriteString(w, `{"Id":"e"}`)
}

// send sends a frame.
func send(to io.Writer, kind byte, text string) {
	head := []byte{kind, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	_, _ = to.Write(append(head, text...))
}

// talk is the process: it reads its input to the end, and writes to both.
func (g *engine) talk(conn io.Writer, in io.Reader, reads bool) {
	if reads {
		typed, _ := io.ReadAll(in)
		g.mu.Lock()
		g.input = string(typed)
		g.mu.Unlock()
	}
	send(conn, 1, "out\n")
	send(conn, 2, "err\n")
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
		g.talk(conn, rw, g.reads || r.FormValue("stdin") == "1")
	}()
}

func (g *engine) startExec(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	g.attach(w, r)
	close(g.started)
}

// inspectExec tells of the end at the second look, as where the output ends
// before the process was seen to.
func (g *engine) inspectExec(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
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
			code = 104
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
	e := &command.Env{In: file("in", input), Out: cmp.Or(g.out, file("out", "")), Err: file("err", ""), Program: "lus", Client: c}
	verb := runCommand()
	if g.exec {
		verb = execCommand()
	}
	code = command.Code(e, command.Run(context.Background(), e, "lus "+verb.Name, verb, args))
	x, _ := os.ReadFile(e.Err.Name())
	if g.out != nil {
		return code, "", string(x)
	}
	o, _ := os.ReadFile(e.Out.Name())
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

func TestRunAsksAnEngineOfOursOnce(t *testing.T) {
	g := fake(t, &engine{exit: 42, atOnce: true})
	code, out, errOut := g.run("", "--rm", "busybox")
	if code != 42 || out != "out\n" || errOut != "WARNING: a warning\nerr\n" {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
	if calls := strings.Join(g.calls, ","); calls != "create and run" {
		t.Errorf("the calls were %v", calls)
	}
}

// What stands between the making and the start is not passed over.
func TestRunWithAnIDFileMakesFirst(t *testing.T) {
	g := fake(t, &engine{atOnce: true})
	idFile := filepath.Join(t.TempDir(), "cid")
	if code, out, _ := g.run("", "--cidfile", idFile, "busybox"); code != 0 || out != "out\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
	if calls := strings.Join(g.calls, ","); !strings.HasPrefix(calls, "create,") || !strings.HasSuffix(calls, ",start") {
		t.Errorf("the calls were %v", calls)
	}
}

func TestADaemonThatGoesAwayLeavesNoExitCode(t *testing.T) {
	g := fake(t, &engine{exit: -2, atOnce: true})
	code, out, errOut := g.run("", "busybox")
	if code != 125 || out != "out\n" || !strings.Contains(errOut, "`lus wait id` tells it") {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
	g = fake(t, &engine{exit: -2, atOnce: true})
	code, out, errOut = g.run("", "-d", "busybox")
	if code != 125 || out != "" || !strings.Contains(errOut, "ended the connection") {
		t.Errorf("in the background: exit code %d, %q, %q", code, out, errOut)
	}
	g = fake(t, &engine{exit: -2, atOnce: true, exec: true})
	code, out, errOut = g.run("", "id", "true")
	if code == 0 || out != "out\n" || !strings.Contains(errOut, "before the exit code was known") {
		t.Errorf("exec: exit code %d, %q, %q", code, out, errOut)
	}
}

// Output that cannot be written is complained of, and the exit code told all the
// same.
func TestAFullDiskHidesNoExitCode(t *testing.T) {
	for whose, atOnce := range daemons() {
		g := fake(t, &engine{exit: 7, atOnce: atOnce})
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err) // the kernel has it everywhere
		}
		t.Cleanup(func() { _ = full.Close() })
		g.out = full
		if code, _, errOut := g.run("", "busybox"); code != 7 || !strings.Contains(errOut, "no space left") || !strings.Contains(errOut, "err\n") && atOnce {
			t.Errorf("%s: exit code %d, %q", whose, code, errOut)
		}
	}
}

func TestRunGivesInputAndItsEnd(t *testing.T) {
	for whose, atOnce := range daemons() {
		g := fake(t, &engine{atOnce: atOnce})
		if code, out, _ := g.run("typed\nmore", "-i", "busybox", "cat"); code != 0 || out != "out\n" {
			t.Errorf("%s: exit code %d, %q", whose, code, out)
		}
		if g.input != "typed\nmore" {
			t.Errorf("%s: the input was %q", whose, g.input)
		}
	}
}

func TestRunInTheBackgroundOnlyStarts(t *testing.T) {
	for atOnce, want := range map[bool]string{false: "create,start", true: "create and run"} {
		g := fake(t, &engine{atOnce: atOnce})
		if code, out, _ := g.run("", "-d", "busybox"); code != 0 || out != "id\n" {
			t.Errorf("exit code %d, %q", code, out)
		}
		if calls := strings.Join(g.calls, ","); calls != want {
			t.Errorf("the calls were %v", calls)
		}
	}
}

func TestRunPullsWhatIsNotHere(t *testing.T) {
	for whose, atOnce := range daemons() {
		g := fake(t, &engine{pulls: 1, atOnce: atOnce})
		code, out, errOut := g.run("", "busybox")
		if code != 0 || out != "out\n" {
			t.Errorf("%s: exit code %d, %q", whose, code, out)
		}
		want := "Unable to find image 'busybox:latest' locally\nlatest: Pulling from library/busybox\nabc: Pull complete\n"
		if !strings.HasPrefix(errOut, want) {
			t.Errorf("%s: it says %q, want %q first", whose, errOut, want)
		}
		if !strings.HasPrefix(strings.Join(g.calls, ","), "create,pull busybox:latest,create") {
			t.Errorf("%s: the calls were %v", whose, g.calls)
		}
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
		for _, detach := range []string{"-d", "--rm", "-t"} {
			for whose, atOnce := range daemons() {
				g := fake(t, &engine{refuses: text, atOnce: atOnce})
				if code, _, errOut := g.run("", detach, "busybox"); code != want || !strings.Contains(errOut, text) {
					t.Errorf("%s: %s: exit code %d, want %d: %s", whose, text, code, want, errOut)
				}
			}
		}
	}
}

func TestSignalsReachTheContainer(t *testing.T) {
	for whose, atOnce := range daemons() {
		g := fake(t, &engine{exit: -1, atOnce: atOnce})
		ended, sender := make(chan struct{}), sync.WaitGroup{}
		sender.Go(func() {
			<-g.started
			for {
				// SIGCONT is in the list, and harms nobody who does not catch it yet.
				_ = syscall.Kill(os.Getpid(), syscall.SIGCONT)
				select {
				case <-ended:
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
		if code, _, _ := g.run("", "busybox"); code != 104 {
			t.Errorf("%s: exit code %d", whose, code)
		}
		close(ended)
		sender.Wait()
	}
}

// Who has seen output may answer it with a signal at once. One that came before it
// is caught would be lost, or end lus instead of reaching the process.
func TestASignalThatAnswersOutputReachesTheContainer(t *testing.T) {
	g := fake(t, &engine{exit: -1, atOnce: true})
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	g.out = out
	lost := time.AfterFunc(time.Minute, func() { g.killed <- "nothing" })
	defer lost.Stop()
	var reader sync.WaitGroup
	reader.Go(func() {
		_, _ = in.Read(make([]byte, 1))
		_ = syscall.Kill(os.Getpid(), syscall.SIGCONT) // no harm where it is not caught
	})
	code, _, _ := g.run("", "busybox")
	_ = out.Close()
	reader.Wait()
	if code != 100+len("CONT") {
		t.Errorf("exit code %d: the signal was lost", code)
	}
}

func TestExecEndsWithTheExitCode(t *testing.T) {
	for whose, atOnce := range daemons() {
		g := fake(t, &engine{exec: true, exit: 3, atOnce: atOnce})
		if code, out, errOut := g.run("", "id", "false"); code != 3 || out != "out\n" || errOut != "err\n" {
			t.Errorf("%s: exit code %d, %q, %q", whose, code, out, errOut)
		}
		g = fake(t, &engine{exec: true, atOnce: atOnce})
		if code, out, _ := g.run("typed", "-i", "id", "cat"); code != 0 || out != "out\n" || g.input != "typed" {
			t.Errorf("%s: exit code %d, %q, input %q", whose, code, out, g.input)
		}
	}
}

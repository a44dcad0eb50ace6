package docker_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// runner is an engine whose containers and execs the test lets start and end.
type runner struct {
	engine
	making  chan struct{} // until it is closed, nothing is made; nil: at once
	refuses error         // why nothing starts
	starts  chan string
	going   chan struct{} // until it is closed, no start returns; nil: at once
	removed chan string
	until   string // what was waited for
	code    int
}

func (e *runner) CreateContainer(context.Context, string, *container.CreateRequest) (*container.CreateResponse, error) {
	if e.making != nil {
		<-e.making
	}
	return &container.CreateResponse{ID: "the-id", Warnings: []string{"a warning"}}, e.err
}

func (e *runner) WaitContainer(_ context.Context, _, condition string) (<-chan container.Exit, error) {
	e.until = condition
	return e.exits, nil
}

func (e *runner) StartContainer(_ context.Context, id string) error {
	e.start(id)
	return e.refuses
}

func (e *runner) RemoveContainer(_ context.Context, id string, o container.RemoveOptions) error {
	if o.Force || !o.Volumes {
		return errors.New("it is removed as if it ran, or without its volumes")
	}
	e.removed <- id
	return nil
}

func (e *runner) start(id string) {
	e.starts <- id
	if e.going != nil {
		<-e.going
	}
}

func (e *runner) CreateExec(context.Context, string, *container.ExecConfig) (string, error) {
	return "exec-id", e.err
}

func (e *runner) StartExec(_ context.Context, id string, _, _ bool, _ *[2]uint) (*container.Stream, error) {
	e.start(id)
	return e.stream, e.refuses
}

func (e *runner) InspectExec(context.Context, string) (*container.Exec, error) {
	x := &container.Exec{ID: "exec-id", Config: container.ExecConfig{Cmd: container.Strings{"true"}}}
	if e.refuses != nil {
		x.ExitCode = &e.code
	}
	return x, nil
}

func (e *runner) WaitExec(ctx context.Context, _ string) (*container.Exec, error) {
	select {
	case exit := <-e.exits:
		return &container.Exec{ExitCode: &exit.Code}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func newRunner() *runner {
	return &runner{engine: engine{exits: make(chan container.Exit, 1)}, starts: make(chan string, 1), removed: make(chan string, 1)}
}

// atOnce asks for what is to be made to be run as well.
func atOnce(t *testing.T, e *runner, path, body string) (*net.UnixConn, *bufio.Reader) {
	t.Helper()
	c := dial(t, serveContainers(t, e, &e.engine, 0))
	fmt.Fprintf(c, "POST /v1.51%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: lus-run\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	return c, bufio.NewReader(c)
}

// upgraded reads the head of the answer.
func upgraded(t *testing.T, r *bufio.Reader) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: "POST"})
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "lus-run" {
		t.Fatalf("the answer: %+v, %v", resp, err)
	}
}

// frame reads one frame.
func frame(t *testing.T, r io.Reader) (kind byte, text string) {
	t.Helper()
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatalf("where a frame was due: %v", err)
	}
	data := make([]byte, binary.BigEndian.Uint32(head[4:]))
	if _, err := io.ReadFull(r, data); err != nil {
		t.Fatal(err)
	}
	return head[0], string(data)
}

func dueFrame(t *testing.T, r io.Reader, kind byte, text string) {
	t.Helper()
	if k, got := frame(t, r); k != kind || got != text {
		t.Fatalf("frame %d %q, want %d %q", k, got, kind, text)
	}
}

func dueEnd(t *testing.T, r io.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("behind the last frame: %q, %v", rest, err)
	}
}

const created = `{"Id":"the-id","Warnings":["a warning"]}`

func TestOneRequestRunsAContainerToItsEnd(t *testing.T) {
	t.Parallel()
	e, output := newRunner(), make(records)
	e.stream = &container.Stream{Out: output, Detach: func() error { return nil }}
	_, r := atOnce(t, e, "/containers/create", `{"Image":"x","AttachStdout":true,"AttachStderr":true,"HostConfig":{"AutoRemove":true}}`)
	upgraded(t, r)
	dueFrame(t, r, container.FrameCreated, created)
	if id := <-e.starts; id != "the-id" || e.until != "removed" {
		t.Errorf("started was %q, waited for %q", id, e.until)
	}
	output <- container.LogRecord{Data: []byte("out\n")}
	dueFrame(t, r, 1, "out\n")
	e.exits <- container.Exit{Code: 42}
	output <- container.LogRecord{Data: []byte("last"), Stderr: true}
	dueFrame(t, r, 2, "last")
	close(output)
	dueFrame(t, r, container.FrameEnded, `{"StatusCode":42}`)
	dueEnd(t, r)
}

// The exit code says that all of the output has come. Were it told first, a daemon
// killed between the two would leave who ran the command with half of it.
func TestTheEndIsToldAfterTheOutput(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/containers/create", "/containers/x/exec"} {
		e, output := newRunner(), make(records)
		e.stream = &container.Stream{Out: output, Detach: func() error { return nil }}
		e.exits <- container.Exit{Code: 42}
		c, r := atOnce(t, e, path, `{"Image":"x","Cmd":["true"],"AttachStdout":true,"AttachStdin":true}`)
		upgraded(t, r)
		if kind, text := frame(t, r); kind != container.FrameCreated || !strings.Contains(text, "-id") {
			t.Fatalf("first comes %d %q", kind, text)
		}
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := r.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%s: while output is on its way the end is told: %v", path, err)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Minute))
		output <- container.LogRecord{Data: []byte("last\n")}
		close(output)
		dueFrame(t, r, 1, "last\n")
		dueFrame(t, r, container.FrameEnded, `{"StatusCode":42}`)
		dueEnd(t, r)
	}
}

func TestOneRequestRunsAnExecToItsEnd(t *testing.T) {
	t.Parallel()
	e := newRunner()
	e.stream = &container.Stream{Out: closed(), Detach: func() error { return nil }}
	e.exits <- container.Exit{Code: 3}
	_, r := atOnce(t, e, "/containers/x/exec", `{"Cmd":["false"],"AttachStdout":true}`)
	upgraded(t, r)
	dueFrame(t, r, container.FrameCreated, `{"Id":"exec-id","Warnings":null}`)
	dueFrame(t, r, container.FrameEnded, `{"StatusCode":3}`)
	dueEnd(t, r)
}

func TestAnExecThatCannotRunSaysWhyAndHowItEnded(t *testing.T) {
	t.Parallel()
	e := newRunner()
	e.refuses, e.code = errs.New(errs.CommandNotFound, "exec: x: not found"), 127
	e.exits <- container.Exit{Code: 127}
	_, r := atOnce(t, e, "/containers/x/exec", `{"Cmd":["x"],"AttachStdout":true}`)
	upgraded(t, r)
	dueFrame(t, r, container.FrameCreated, `{"Id":"exec-id","Warnings":null}`)
	dueFrame(t, r, 1, "exec: x: not found\r\n")
	dueFrame(t, r, container.FrameEnded, `{"StatusCode":127}`)
}

func closed() records {
	out := make(records)
	close(out)
	return out
}

func TestAContainerInTheBackgroundIsLeftOnceItRuns(t *testing.T) {
	t.Parallel()
	e := newRunner()
	_, r := atOnce(t, e, "/containers/create", `{"Image":"x"}`)
	upgraded(t, r)
	dueFrame(t, r, container.FrameCreated, created)
	dueFrame(t, r, container.FrameStarted, "")
	dueEnd(t, r)
}

func TestAStartThatFailsHasTheAnswerOfAStart(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"Image":"x"}`, `{"Image":"x","AttachStdout":true}`, `{"Image":"x","AttachStdout":true,"Tty":true}`} {
		e := newRunner()
		e.refuses = errs.New(errs.Conflict, "no room")
		a := attach(false)
		e.stream = a.stream
		_, r := atOnce(t, e, "/containers/create", body)
		upgraded(t, r)
		dueFrame(t, r, container.FrameCreated, created)
		kind, text := frame(t, r)
		var f container.RunFailure
		if err := json.Unmarshal([]byte(text), &f); err != nil || kind != container.FrameFailed || f.Status != 409 || f.Message != "no room" {
			t.Errorf("%s: frame %d %q, %v", body, kind, text, err)
		}
		dueEnd(t, r)
		if strings.Contains(body, "Attach") {
			within(t, a.detached, "the leaving of the stream")
		}
	}
}

// What cannot be made is refused as ever: clients pull an image by that.
func TestWhatCannotBeMadeIsRefusedAsEver(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/containers/create", "/containers/x/exec"} {
		e := newRunner()
		e.err = errs.New(errs.NotFound, "No such image: x")
		_, r := atOnce(t, e, path, `{"Image":"x","Cmd":["true"]}`)
		resp, err := http.ReadResponse(r, &http.Request{Method: "POST"})
		if err != nil || resp.StatusCode != 404 {
			t.Fatalf("%s: %+v, %v", path, resp, err)
		}
		if text, _ := io.ReadAll(resp.Body); !strings.Contains(string(text), "No such image: x") {
			t.Errorf("%s: %s", path, text)
		}
	}
	e := newRunner()
	_, r := atOnce(t, e, "/containers/create?detachKeys=ctrl-!", `{"Image":"x"}`)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 400 {
		t.Errorf("wrong keys: %+v, %v", resp, err)
	}
}

// Whoever ended the command before there was a container wants none to run, nor to
// find one that nobody has told of.
func TestNothingIsStartedForWhoIsGone(t *testing.T) {
	t.Parallel()
	e := newRunner()
	e.making = make(chan struct{})
	dealtWith := make(chan struct{})
	path := serveHandler(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r)
			close(dealtWith)
		})
	}, e, &e.engine, 0)
	c := dial(t, path)
	body := `{"Image":"x"}`
	fmt.Fprintf(c, "POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: lus-run\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	_ = c.Close()
	close(e.making)
	within(t, dealtWith, "the end of the request")
	if len(e.starts) != 0 || len(e.removed) != 1 {
		t.Errorf("started were %d, removed %d", len(e.starts), len(e.removed))
	}
}

func TestWhoIsGoneIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/containers/create", "/containers/x/exec"} {
		e := newRunner()
		a := attach(false)
		e.stream = a.stream
		c, r := atOnce(t, e, path, `{"Image":"x","Cmd":["true"],"AttachStdout":true,"AttachStdin":true}`)
		upgraded(t, r)
		if _, err := fmt.Fprint(c, "typed"); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		within(t, a.in.closed, "the end of the input")
		within(t, a.detached, "the leaving of the stream")
	}
}

// Nor is what was joined for it left open: a process that reads its input to the
// end would never come to it.
func TestWhoGoesDuringTheStartLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/containers/create", "/containers/x/exec", "/exec/x/start"} {
		e := newRunner()
		e.going = make(chan struct{})
		a := attach(true)
		e.stream = a.stream
		c, _ := atOnce(t, e, path, `{"Image":"x","Cmd":["cat"],"AttachStdout":true,"AttachStdin":true,"Tty":true}`)
		<-e.starts
		_ = c.Close()
		close(e.going)
		within(t, a.in.closed, path+": the end of the input")
		within(t, a.detached, path+": the leaving of the stream")
	}
}

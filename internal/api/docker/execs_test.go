package docker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"lus/internal/model/container"
)

// ended is an engine with one exec whose process has ended, and whose output is
// still on its way.
type ended struct{ engine }

func (e *ended) InspectExec(context.Context, string) (*container.Exec, error) {
	code := 42
	return &container.Exec{ID: "x", ExitCode: &code, Config: container.ExecConfig{Cmd: container.Strings{"true"}}}, nil
}

func (e *ended) WaitExec(ctx context.Context, id string) (*container.Exec, error) {
	return e.InspectExec(ctx, id)
}

func (e *ended) StartExec(context.Context, string, bool, bool, *[2]uint) (*container.Stream, error) {
	return e.stream, nil
}

// Whoever waits for an exec hears of its end after the output was handed over:
// else a daemon that is killed between the two would have told an exit code for
// output that never comes.
func TestTheEndOfAnExecIsToldAfterItsOutput(t *testing.T) {
	t.Parallel()
	output := make(records)
	e := &ended{engine{stream: &container.Stream{Out: output, Detach: func() error { return nil }}}}
	path := serveContainers(t, e, &e.engine, 0)
	c := dial(t, path)
	body := `{"Detach":false,"Tty":false}`
	fmt.Fprintf(c, "POST /v1.51/exec/x/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, &http.Request{Method: "POST"})
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("the stream: %v %v", resp, err)
	}
	output <- container.LogRecord{Data: []byte("first\n")}

	waiting := dial(t, path)
	fmt.Fprint(waiting, "GET /v1.51/exec/x/json?wait=1 HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = waiting.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while output is on its way the end is told: %v", err)
	}
	if _, answer := ask(t, path, "GET", "/v1.51/exec/x/json", ""); !strings.Contains(answer, `"ExitCode":42`) {
		t.Errorf("who does not wait: %s", answer)
	}
	output <- container.LogRecord{Data: []byte("last\n")}
	close(output)
	_ = waiting.SetReadDeadline(time.Now().Add(5 * time.Minute))
	end, err := http.ReadResponse(bufio.NewReader(waiting), nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer, _ := io.ReadAll(io.LimitReader(end.Body, end.ContentLength)); !strings.Contains(string(answer), `"ExitCode":42`) {
		t.Errorf("at the end: %s", answer)
	}
	if all, err := io.ReadAll(in); err != nil || !strings.Contains(string(all), "first\n") || !strings.Contains(string(all), "last\n") {
		t.Errorf("the output is %q, %v", all, err)
	}
}

package engine_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

func TestLogs(t *testing.T) {
	h := start(t)
	id := h.run("talker", "for i in 1 2 3 4 5; do echo line $i; done; echo bad >&2; read x < /dev/null; sleep 1000")
	until(t, "the output", func() bool { return strings.Contains(h.logs(id), "bad") })
	read := func(o container.LogOptions) string {
		t.Helper()
		r, tty, err := h.engine.Logs(limited(t), "talker", o)
		must(t, err)
		if tty {
			t.Error("a terminal it has not")
		}
		defer r.Close()
		return readAll(t, r)
	}
	if got := read(container.LogOptions{Stdout: true, Stderr: true, Tail: 2}); got != "line 5\nbad\n" {
		t.Errorf("tail 2: %q", got)
	}
	if got := read(container.LogOptions{Stderr: true, Tail: -1}); got != "bad\n" {
		t.Errorf("stderr: %q", got)
	}
	if got := read(container.LogOptions{Stdout: true, Tail: -1, Since: time.Now().Add(time.Hour)}); got != "" {
		t.Errorf("since the future: %q", got)
	}
	// A follower sees the rest and ends with the container.
	r, _, err := h.engine.Logs(limited(t), "talker", container.LogOptions{Stdout: true, Stderr: true, Tail: 1, Follow: true})
	must(t, err)
	defer r.Close()
	must(t, h.engine.KillContainer(context.Background(), id, ""))
	if got := readAll(t, r); got != "bad\n" {
		t.Errorf("followed: %q", got)
	}
	if _, _, err := h.engine.Logs(limited(t), "talker", container.LogOptions{}); !errs.Is(err, errs.Invalid) {
		t.Errorf("no stream asked for: %v", err)
	}
}

func TestAttachBeforeTheStart(t *testing.T) {
	h := start(t)
	id := h.create("cat", "cat; echo end", func(r *container.CreateRequest) {
		r.OpenStdin, r.StdinOnce, r.AttachStdin = true, true, true
		r.HostConfig.AutoRemove = true
	})
	s, err := h.engine.Attach(limited(t), id, container.AttachOptions{Stdin: true, Stdout: true, Stderr: true, Stream: true})
	must(t, err)
	text := strings.Repeat("0123456789abcde\n", 64<<10) // 1 MB, more than any pipe holds
	go func() {
		_, _ = io.WriteString(s.In, text)
		_ = s.In.Close()
	}()
	must(t, h.engine.StartContainer(context.Background(), id))
	got := readAll(t, s.Out)
	must(t, s.Detach())
	if got != text+"end\n" {
		t.Errorf("%d bytes came back of %d", len(got), len(text)+4)
	}
}

func TestAttachBeginsWithThisRun(t *testing.T) {
	h := start(t)
	id := h.run("again", "echo run")
	h.wait(id, "")
	s, err := h.engine.Attach(limited(t), id, container.AttachOptions{Stdout: true, Stream: true})
	must(t, err)
	must(t, h.engine.StartContainer(context.Background(), id))
	if got := readAll(t, s.Out); got != "run\n" {
		t.Errorf("attached before the second run: %q", got)
	}
	must(t, s.Detach())
	s, err = h.engine.Attach(limited(t), id, container.AttachOptions{Stdout: true, Logs: true})
	must(t, err)
	if got := readAll(t, s.Out); got != "run\nrun\n" {
		t.Errorf("what was written before: %q", got)
	}
	must(t, s.Detach())
}

func TestATerminal(t *testing.T) {
	h := start(t)
	id := h.create("tty", "tty; stty size; read x; echo got $x", func(r *container.CreateRequest) {
		r.Tty, r.OpenStdin, r.HostConfig.ConsoleSize = true, true, [2]uint{33, 77}
	})
	s, err := h.engine.Attach(limited(t), id, container.AttachOptions{Stdin: true, Stdout: true, Stderr: true, Stream: true})
	must(t, err)
	if !s.Tty {
		t.Error("it is not said to be a terminal")
	}
	must(t, h.engine.StartContainer(context.Background(), id))
	_, err = io.WriteString(s.In, "hello\n")
	must(t, err)
	got := readAll(t, s.Out)
	must(t, s.Detach())
	for _, want := range []string{"/dev/", "33 77", "got hello"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

func TestExec(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	id := h.run("host", "sleep 1000", func(r *container.CreateRequest) { r.Env = []string{"X=x"} })
	if out, code := h.exec(id, "echo $X; echo err >&2; exit 9"); code != 9 || !strings.Contains(out, "x\n") || !strings.Contains(out, "err\n") {
		t.Errorf("code %d, %q", code, out)
	}
	if out, code := h.exec(id, "head -c 3000000 /dev/zero | tr '\\0' x"); code != 0 || len(out) != 3000000 {
		t.Errorf("of much output %d bytes came", len(out))
	}
	// A child that keeps the pipe does not keep the exec.
	if out, code := h.exec(id, "sleep 500 & echo left it"); code != 0 || out != "left it\n" {
		t.Errorf("with a child: %d %q", code, out)
	}
	for cmd, want := range map[string]int{"/no/such": 127, "/etc/passwd": 126} {
		x, err := h.engine.CreateExec(ctx, id, &container.ExecConfig{Cmd: container.Strings{cmd}, AttachStdout: true})
		must(t, err)
		if _, err := h.engine.StartExec(ctx, x, false, false, nil); err == nil {
			t.Errorf("%s ran", cmd)
		}
		if st, err := h.engine.InspectExec(ctx, x); err != nil || st.ExitCode == nil || *st.ExitCode != want {
			t.Errorf("%s: %+v %v", cmd, st, err)
		}
		if _, err := h.engine.StartExec(ctx, x, false, false, nil); !errs.Is(err, errs.Conflict) {
			t.Errorf("starting it twice: %v", err)
		}
	}
	x, err := h.engine.CreateExec(ctx, id, &container.ExecConfig{Cmd: container.Strings{"sh", "-c", "echo detached > /tmp/d"}})
	must(t, err)
	s, err := h.engine.StartExec(ctx, x, true, false, nil)
	must(t, err)
	if s != nil {
		t.Error("a detached exec has a stream")
	}
	until(t, "the detached exec", func() bool { out, _ := h.exec(id, "cat /tmp/d"); return out == "detached\n" })
	if _, err := h.engine.CreateExec(ctx, id, &container.ExecConfig{}); !errs.Is(err, errs.Invalid) {
		t.Errorf("no command: %v", err)
	}
	stopped := h.create("", "true")
	if _, err := h.engine.CreateExec(ctx, stopped, &container.ExecConfig{Cmd: container.Strings{"true"}}); !errs.Is(err, errs.Conflict) {
		t.Errorf("exec where nothing runs: %v", err)
	}
}

// WaitExec comes with the end, also where it asked before the beginning, and ends
// with who asks.
func TestTheEndOfAnExecIsWaitedFor(t *testing.T) {
	t.Parallel()
	h := start(t)
	ctx := limited(t)
	id := h.run("host", "sleep 1000")
	x, err := h.engine.CreateExec(ctx, id, &container.ExecConfig{Cmd: container.Strings{"sh", "-c", "read x; exit 7"}, AttachStdin: true, AttachStdout: true})
	must(t, err)
	type answer struct {
		exec *container.Exec
		err  error
	}
	end := make(chan answer, 1)
	go func() {
		st, err := h.engine.WaitExec(ctx, x)
		end <- answer{st, err}
	}()
	left, leave := context.WithCancel(ctx)
	leave()
	if _, err := h.engine.WaitExec(left, x); !errors.Is(err, context.Canceled) {
		t.Errorf("who went away: %v", err)
	}
	s, err := h.engine.StartExec(ctx, x, false, false, nil)
	must(t, err)
	select {
	case a := <-end:
		t.Fatalf("while it reads: %+v %v", a.exec, a.err)
	default:
	}
	must(t, s.In.Close())
	if a := <-end; a.err != nil || a.exec.Running || a.exec.ExitCode == nil || *a.exec.ExitCode != 7 {
		t.Errorf("at the end: %+v %v", a.exec, a.err)
	}
	must(t, s.Detach())
	if st, err := h.engine.WaitExec(ctx, x); err != nil || *st.ExitCode != 7 {
		t.Errorf("after it: %+v %v", st, err)
	}
}

func TestExecWithInputAndTerminal(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	id := h.run("host", "sleep 1000")
	x, err := h.engine.CreateExec(ctx, id, &container.ExecConfig{Cmd: container.Strings{"cat"}, AttachStdin: true, AttachStdout: true})
	must(t, err)
	s, err := h.engine.StartExec(ctx, x, false, false, nil)
	must(t, err)
	_, err = io.WriteString(s.In, "through\n")
	must(t, err)
	must(t, s.In.Close())
	if got := readAll(t, s.Out); got != "through\n" {
		t.Errorf("cat gave %q", got)
	}
	must(t, s.Detach())

	x, err = h.engine.CreateExec(ctx, id, &container.ExecConfig{Cmd: container.Strings{"sh", "-c", "stty size; read x; echo got $x"}, Tty: true, AttachStdin: true, AttachStdout: true, User: "nobody"})
	must(t, err)
	if _, err := h.engine.StartExec(ctx, x, false, false, nil); !errs.Is(err, errs.Invalid) {
		t.Errorf("a terminal started as none: %v", err)
	}
	s, err = h.engine.StartExec(ctx, x, false, true, &[2]uint{11, 22})
	must(t, err)
	_, err = io.WriteString(s.In, "word\n")
	must(t, err)
	if got := readAll(t, s.Out); !strings.Contains(got, "11 22") || !strings.Contains(got, "got word") {
		t.Errorf("terminal: %q", got)
	}
	must(t, s.Detach())
}

// An exec that was asked for belongs to the run it was asked for in.
func TestAnExecOfARunThatIsOverIsGone(t *testing.T) {
	t.Parallel()
	h := start(t)
	ctx := limited(t)
	id := h.run("asked", "sleep 1000")
	x, err := h.engine.CreateExec(ctx, id, &container.ExecConfig{Cmd: container.Strings{"true"}, AttachStdout: true})
	must(t, err)
	must(t, h.engine.KillContainer(ctx, id, ""))
	if _, err := h.engine.InspectExec(ctx, x); !errs.Is(err, errs.NotFound) {
		t.Errorf("after the run: %v", err)
	}
	must(t, h.engine.StartContainer(ctx, id))
	if _, err := h.engine.StartExec(ctx, x, true, false, nil); !errs.Is(err, errs.NotFound) {
		t.Errorf("in the next run: %v", err)
	}
	if left := h.inspect(id).ExecIDs; len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

package stack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long any one command may take before it is taken for hung. The
// demo installs packages inside containers, which a slow mirror or a busy
// machine makes long.
const patience = 12 * time.Minute

// Result is how a command ended.
type Result struct {
	Line     string // the command as typed
	Out, Err string
	Code     int
}

// All is what the command wrote, on either stream.
func (r Result) All() string { return r.Out + r.Err }

// Lus runs bin/lus against this stack.
func (s *Stack) Lus(args ...string) Result {
	return s.Do(nil, filepath.Join(s.Bin, "lus"), args...)
}

// Do runs a program against this stack, with a standard input where given.
func (s *Stack) Do(stdin io.Reader, program string, args ...string) Result {
	return s.DoIn("", stdin, program, args...)
}

// DoIn runs a program in a folder.
func (s *Stack) DoIn(dir string, stdin io.Reader, program string, args ...string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, s.Env(), stdin, &out, &errs
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	r := Result{Line: filepath.Base(program) + " " + strings.Join(args, " "), Out: out.String(), Err: errs.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		r.Code, r.Err = -1, r.Err+"\n(no end after "+patience.String()+")"
	case errors.As(err, &exit):
		r.Code = exit.ExitCode()
	case err != nil:
		r.Code, r.Err = -1, r.Err+err.Error()
	}
	return r
}

// OK runs lus, expects it to succeed, and returns what it printed, trimmed.
func (s *Stack) OK(t testing.TB, args ...string) string {
	t.Helper()
	return s.Lus(args...).Want(t, 0)
}

// Fail runs lus, expects that exit code, and returns what it said.
func (s *Stack) Fail(t testing.TB, code int, args ...string) string {
	t.Helper()
	r := s.Lus(args...)
	r.Want(t, code)
	return r.All()
}

// Want checks the exit code and returns the standard output, trimmed.
func (r Result) Want(t testing.TB, code int) string {
	t.Helper()
	if r.Code != code {
		t.Fatalf("%s: exit code %d, want %d\n%s%s", r.Line, r.Code, code, r.Out, r.Err)
	}
	return strings.TrimSpace(r.Out)
}

// Says fails the test where text lacks one of the words.
func Says(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not said in:\n%s", w, text)
		}
	}
}

// Lacks fails the test where text has one of the words.
func Lacks(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(text, w) {
			t.Errorf("%q is said in:\n%s", w, text)
		}
	}
}

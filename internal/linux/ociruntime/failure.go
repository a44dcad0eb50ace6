package ociruntime

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/task"
)

// mostLog bounds what is read of a runtime's log.
const mostLog = 64 << 10

// explain says in the runtime's words why it failed.
func (b *bundle) explain(err error, execID string) error {
	var failed *task.StepError
	if !errors.As(err, &failed) {
		return err
	}
	step, ok := strings.CutPrefix(failed.Step, "run ")
	if !ok {
		return errs.New(errs.Internal, "%s: %s", b.name, failed.Error())
	}
	if failed.Errno == int(unix.ETIMEDOUT) {
		return errs.New(errs.Unavailable, "%s did not end within %v and was killed; nothing is left of what it began: see why it hangs, or leave out --runtime", step, b.patience)
	}
	why := lastError(b.path(logOf(execID)))
	if why == "" {
		return errs.New(errs.Internal, "%s failed and does not say why; is it a working OCI runtime?", step)
	}
	what := "create"
	if execID != "" {
		what = "exec"
	}
	kind := kindOf(why)
	return errs.New(kind, "OCI runtime %s failed: %s: %s", what, b.name, worded(kind, why))
}

// worded makes sure that a client that derives the exit code from the text, as
// Docker's do, finds the words it looks for: not every runtime uses runc's.
func worded(kind errs.Kind, why string) string {
	switch {
	case kind == errs.CommandNotFound && !strings.Contains(why, "executable file not found") && !strings.Contains(why, "no such file or directory"):
		return why + " (executable file not found)"
	case kind == errs.CommandNotExecutable && !strings.Contains(why, "permission denied") && !strings.Contains(why, "is a directory") && !strings.Contains(why, "exec format error"):
		return why + " (permission denied)"
	}
	return why
}

// kindOf reads from a runtime's words whether the command is to blame.
func kindOf(why string) errs.Kind {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(why, w) {
				return true
			}
		}
		return false
	}
	gone := has("no such file or directory", "No such file or directory")
	denied := has("permission denied", "Permission denied", "is a directory", "Is a directory", "exec format error", "Exec format error",
		"open executable: Operation not permitted") // crun's word for a folder
	switch {
	case has("executable file not found"), has("exec: ", "exec `", "exec container process", "executable", "chdir to cwd") && gone:
		return errs.CommandNotFound
	case has("exec: ", "exec `", "exec container process", "executable", "chdir to cwd") && denied:
		return errs.CommandNotExecutable
	case has("mounting", "mount `") && has("not a directory", "Not a directory"):
		return errs.Invalid
	}
	return errs.Internal
}

// lastError is the last error in a log of lines of JSON.
func lastError(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, mostLog))
	if err != nil {
		return ""
	}
	last := ""
	for line := range bytes.Lines(data) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(line, &entry) == nil && entry.Msg != "" && (entry.Level == "error" || entry.Level == "fatal" || entry.Level == "") {
			last = strings.TrimSpace(entry.Msg)
		}
	}
	return last
}

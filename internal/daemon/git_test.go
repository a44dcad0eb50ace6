package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whatever the program is called, it is run with its arguments and knows the limit,
// in whole seconds.
func TestGitKnowsHowLongToWait(t *testing.T) {
	dir := t.TempDir()
	program, script := filepath.Join(dir, "it's git"), filepath.Join(dir, "git")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nenv; echo \"$2\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, gitScript(program, 1500*time.Millisecond), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script, "ls-remote", "two words")
	cmd.Env = []string{"GIT_SSH_COMMAND=ssh -F /dev/null"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	for _, want := range []string{
		"GIT_HTTP_LOW_SPEED_LIMIT=1", "GIT_HTTP_LOW_SPEED_TIME=2", "two words",
		"GIT_SSH_COMMAND=ssh -F /dev/null -o ConnectTimeout=2 -o ServerAliveInterval=2 -o ServerAliveCountMax=1",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
}

package daemon

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"lus/internal/base/atomicfile"
)

// boundGit makes the git that builds run give up on a server that sends nothing
// for so long. BuildKit hands git none of our settings but the search path: what
// is found there first, in dir, is a script that knows the limit and runs git.
func boundGit(dir string, limit time.Duration) error {
	program, err := exec.LookPath("git")
	if err != nil {
		return nil //nolint:nilerr // a build that needs it says so
	}
	script, path := gitScript(program, limit), filepath.Join(dir, "git")
	if there, err := os.ReadFile(path); err != nil || !bytes.Equal(there, script) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := atomicfile.Write(path, script, 0o700, atomicfile.Crash); err != nil {
			return err
		}
	}
	return os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// gitScript is that script. A server that puts a pack together sends five bytes
// each five seconds meanwhile: slower is who stands still.
func gitScript(program string, limit time.Duration) []byte {
	seconds := int((limit + time.Second - 1) / time.Second)
	return fmt.Appendf(nil, `#!/bin/sh
export GIT_HTTP_LOW_SPEED_LIMIT=1 GIT_HTTP_LOW_SPEED_TIME=%[1]d
export GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-ssh} -o ConnectTimeout=%[1]d -o ServerAliveInterval=%[1]d -o ServerAliveCountMax=1"
exec %[2]s "$@"
`, seconds, quoted(program))
}

// quoted is a word as a shell takes it.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

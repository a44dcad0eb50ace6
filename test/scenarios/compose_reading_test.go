package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lus/test/stack"
)

// TestReadingAComposeFileEnds: files that multiply themselves, or have no end, are
// given up before they fill the memory, and Ctrl-C ends what waits for one.
func TestReadingAComposeFileEnds(t *testing.T) {
	t.Parallel()
	s := shared(t)
	double := "V0=" + strings.Repeat("x", 32) + "\n"
	for i := range 40 {
		double += fmt.Sprintf("V%d=${V%d}${V%d}\n", i+1, i, i)
	}
	for what, files := range map[string]map[string]string{
		"variables that double":       {"compose.yaml": "services:\n  web: {image: busybox}\n", ".env": double},
		"a file of variables of /dev": {"compose.yaml": "services:\n  web: {image: busybox, env_file: /dev/zero}\n"},
	} {
		r := s.DoIn(stack.Folder(t, files), nil, filepath.Join(s.Bin, "lus"), "compose", "config", "-q")
		if r.Code != 1 || !strings.Contains(r.Err, "takes more than 1024 MB of memory") {
			t.Errorf("%s: exit code %d: %.300s", what, r.Code, r.Err)
		}
	}

	p := compose(t, s, map[string]string{"compose.yaml": "services:\n  web: {image: busybox, env_file: pipe}\n"})
	pipe := filepath.Join(p.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	wait, interrupt := p.start("config", "-q")
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns once it is read
	if err != nil {
		t.Fatal(err)
	}
	interrupt()
	wait().Want(t, 130)
	writer.Close()
	p.write("compose.yaml", "services:\n  web: {image: busybox}\n") // for the end of the test
}

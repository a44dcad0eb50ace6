package output_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lus/internal/cli/output"
)

// writes is set for the program that writes a file and is interrupted.
const writes = "LUS_TEST_WRITES"

func TestMain(m *testing.M) {
	if file := os.Getenv(writes); file != "" {
		_ = output.File(file, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAFileHasItsNameOnceItIsWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.tar")
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- output.File(file, r) }()
	_, _ = io.WriteString(w, "half")
	if _, err := os.Stat(file); err == nil {
		t.Error("half a file has the name")
	}
	_, _ = io.WriteString(w, " and half")
	_ = w.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "half and half" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestALinkIsNotReplacedByAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(in("file"), []byte("old"), 0o600), os.Symlink("file", in("link")), os.Symlink("nowhere", in("dangling")), os.Symlink(os.DevNull, in("null"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "dangling"} {
		if err := output.File(in(name), strings.NewReader("new")); err == nil || !strings.Contains(err.Error(), "cannot write to a symbolic link") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := output.File(in("null"), strings.NewReader("new")); err != nil {
		t.Errorf("a link to what is no file: %v", err)
	}
	for _, name := range []string{"link", "dangling", "null"} {
		if st, err := os.Lstat(in(name)); err != nil || st.Mode().Type() != os.ModeSymlink {
			t.Errorf("%s is no link any more: %v, %v", name, st, err)
		}
	}
	if text, err := os.ReadFile(in("file")); string(text) != "old" {
		t.Errorf("the file has %q, %v", text, err)
	}
	if _, err := os.Stat(in("nowhere")); err == nil {
		t.Error("what the link leads to was made")
	}
}

func TestAnInterruptedFileIsNotLeft(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), writes+"="+filepath.Join(dir, "out.tar"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// More than a pipe holds: once it is through, the file is being written.
	if _, err := io.WriteString(in, strings.Repeat("x", 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left is %v, %v", left, err)
	}
}

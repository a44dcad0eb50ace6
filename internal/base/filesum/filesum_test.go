package filesum_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/filesum"
)

func TestTheSumIsOfWhatTheFileContains(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	write := func(s string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		return filesum.Of(path, 3)
	}
	abc := write("abc")
	if want := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; abc != want {
		t.Errorf("the sum of abc is %q, want %q", abc, want)
	}
	if got := write("abcd"); got != abc {
		t.Errorf("what lies behind the limit counts: %q", got)
	}
	if got := write("abd"); got == abc || got == "" {
		t.Errorf("other contents have the sum %q", got)
	}
}

// A daemon that waited for a writer of a pipe would wait for ever.
func TestWhatIsNoRegularFileHasNoSum(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, dir, filepath.Join(dir, "missing"), "/dev/zero"} {
		if got := filesum.Of(path, 1<<20); got != "" {
			t.Errorf("%s has the sum %q", path, got)
		}
	}
}

package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A layer of any kind of files goes to the disk; no link is followed, and no pipe waited for.
func TestSettleLayer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "1", "fs")
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "a/file"), []byte("text"), 0o000),
		os.Symlink("/nowhere", filepath.Join(dir, "a/link")),
		unix.Mkfifo(filepath.Join(dir, "a/pipe"), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	got, err := files(dir, fewFiles)
	want := []string{dir, dir + "/a", dir + "/a/b", dir + "/a/file"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("to be synced: %q, %v; want %q", got, err, want)
	}
	s := &Service{}
	if err := s.settleLayer(dir); err != nil {
		t.Error(err)
	}
	for i := range fewFiles {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := files(dir, fewFiles); got != nil || err != nil {
		t.Errorf("of many files %d are synced one by one, %v", len(got), err)
	}
	if err := s.settleLayer(dir); err != nil {
		t.Error(err)
	}
	if err := s.settleLayer(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

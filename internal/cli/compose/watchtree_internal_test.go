package compose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fsnotify/fsnotify"

	"lus/internal/composefile"
)

// Where more files change than the kernel remembers, all are taken for changed, and
// new folders are followed all the same.
func TestMoreChangesThanTheKernelKeeps(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m, err := newMatcher(composefile.Watch{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := watchTree([]trigger{{composefile.Watch{Path: dir}, m}})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.close()
	var want []string
	for i := range 2 {
		name := filepath.Join(dir, fmt.Sprint("file", i))
		want = append(want, name)
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range most + 10_000 { // equal ones in a row would count once
		if err := os.Chmod(want[i%2], os.FileMode(0o600|i/2%2)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "new"), 0o755); err != nil {
		t.Fatal(err)
	}
	want = append(want, filepath.Join(dir, "new", "page"))
	if err := os.WriteFile(want[2], nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case <-tree.events():
			continue
		case err = <-tree.errors():
		}
		break
	}
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		t.Fatalf("got %v", err)
	}
	got, err := tree.lost(err)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("changed are %q, want %q (%v)", got, want, err)
	}
	if list := tree.w.WatchList(); !slices.Contains(list, filepath.Join(dir, "new")) {
		t.Errorf("followed are %q", list)
	}
	if _, err := tree.lost(os.ErrPermission); !errors.Is(err, os.ErrPermission) {
		t.Errorf("another error becomes %v", err)
	}
}

// A first copy takes what is there all the time, whatever comes and goes beside it.
func TestAFirstCopyBesideFoldersThatGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := newMatcher(composefile.Watch{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			folder := filepath.Join(dir, fmt.Sprint("folder", i%7))
			if err := errors.Join(os.MkdirAll(filepath.Join(folder, "deep"), 0o755), os.RemoveAll(folder)); err != nil {
				t.Error(err)
			}
		}
	}()
	for looking := true; looking; {
		select {
		case <-done:
			looking = false
		default:
		}
		rule := trigger{composefile.Watch{Path: dir, Target: "/www"}, m}
		files, err := rule.everything()
		if err != nil || files[filepath.Join(dir, "page")] != "/www/page" {
			t.Fatalf("it copies %v, %v", files, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := (trigger{composefile.Watch{Path: dir}, m}).everything(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a folder that is not there: %v", err)
	}
}

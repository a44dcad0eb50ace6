package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"lus/internal/store/content"
	"lus/test/need"
)

// What a sweep could not let go of, the next one does.
func TestASweepMakesUpForOneThatFailed(t *testing.T) {
	t.Parallel()
	need.Root(t)
	ctx := context.Background()
	store, err := content.Open(ctx, t.TempDir(), content.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s, err := New(Deps{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	store.Ready()
	var ids, folders []string
	for _, text := range []string{"a", "b", "c"} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: text, Mode: 0o644, Typeflag: tar.TypeReg}), w.Close()); err != nil {
			t.Fatal(err)
		}
		id, err := s.ImportImage(ctx, &b, text+":1", "", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.Layers(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.RemoveImage(ctx, text+":1", false, true); err != nil {
			t.Fatal(err)
		}
		ids, folders = append(ids, id), append(folders, l.Dirs[0])
	}
	if err := s.Sweep(ctx, nil); err != nil { // their containers may not be on record yet
		t.Fatal(err)
	}

	// The first is busy until the sweep is broken off.
	unlock, err := s.busy.lock(ctx, "use "+ids[0])
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Sweep(over, nil); err == nil {
		t.Error("a sweep that was broken off tells of nothing")
	}
	unlock()
	if err := s.Sweep(ctx, nil); err != nil {
		t.Error(err)
	}
	for _, dir := range folders {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there still: %v", dir, err)
		}
	}
}

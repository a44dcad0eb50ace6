package image

import (
	"context"
	"errors"
	"os"
	"testing"
)

// What a sweep could not let go of, the next one does.
func TestASweepMakesUpForOneThatFailed(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), alone(t)
	var ids, folders []string
	for _, text := range []string{"a", "b", "c"} {
		id := s.imported(t, text+":1", text)
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
	unlock, err := s.busy.Lock(ctx, "use "+ids[0])
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

package image_test

import (
	"bytes"
	"context"
	"os"
	"testing"

	"lus/internal/model/container"
	model "lus/internal/model/image"
)

// An image that is removed while another is made on it stays as far as that needs it.
func TestACommitHoldsWhatItIsMadeOn(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	ref := w.reg.push("base:1", imageOf(t, layer(t, entry{name: "f", text: "base"})))
	w.pull(ref)
	base := w.inspect(ref).ID
	_, err := w.CommitImage(ctx, &model.Commit{
		Base: base, Ref: "new:1",
		Complete: func(c *container.Config) (*container.Config, error) { return c, nil },
		Fill: func(_ context.Context, dir *os.File) error {
			if _, err := w.RemoveImage(ctx, ref, true, true); err != nil {
				return err
			}
			w.collect()
			return os.WriteFile(dir.Name()+"/g", []byte("new"), 0o644)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	other := &world{t: t, root: t.TempDir(), users: &users{}}
	other.open()
	defer other.store.Close()
	if err := other.LoadImages(ctx, bytes.NewReader(w.save("new:1")), nil); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"f": "base", "g": "new"} {
		if got, _ := other.read("new:1", file); got != want {
			t.Errorf("%s is %q", file, got)
		}
	}
}

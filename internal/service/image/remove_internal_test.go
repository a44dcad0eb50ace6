package image

import (
	"archive/tar"
	"bytes"
	"context"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/store/content"
	"lus/test/need"
)

// A name that came to mean another image after it was looked up is not taken
// from that one.
func TestARemovalTakesNoNameFromAnotherImage(t *testing.T) {
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
	make := func(ref, text string) (id string) {
		t.Helper()
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Name: text, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if id, err = s.ImportImage(ctx, &b, ref, "", "", nil); err != nil {
			t.Fatal(err)
		}
		return id
	}
	old := make("app:1", "old")
	n, err := s.current(ctx)
	if err != nil {
		t.Fatal(err)
	}
	new := make("app:1", "new")
	r := removal{id: old, ref: "app:1", all: n.byID[old]}
	r.choose(n)
	removed, err := s.remove(ctx, n, r)
	if !errs.Is(err, errs.NotFound) || len(removed) > 0 {
		t.Errorf("it took %+v, %v", removed, err)
	}
	if i, err := s.InspectImage(ctx, "app:1"); err != nil || i.ID != new {
		t.Errorf("the name means %+v, %v", i, err)
	}
}

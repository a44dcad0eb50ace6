package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"testing"

	"lus/internal/store/content"
	"lus/test/need"
)

// alone is a service over a store of its own and nothing else.
func alone(t *testing.T) *Service {
	t.Helper()
	need.Root(t)
	store, err := content.Open(context.Background(), t.TempDir(), content.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := New(Deps{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	store.Ready()
	return s
}

// imported is an image of one empty file, of that name.
func (s *Service) imported(t *testing.T, ref, name string) (id string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}), w.Close()); err != nil {
		t.Fatal(err)
	}
	id, err := s.ImportImage(t.Context(), &b, ref, "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

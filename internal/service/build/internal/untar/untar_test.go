package untar_test

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/service/build/internal/untar"
)

// unpack unpacks empty files and folders into a new folder.
func unpack(t *testing.T, headers ...tar.Header) (string, error) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return dir, untar.Unpack(t.Context(), &b, dir)
}

// A path that no program could name is refused, and not made part by part: to
// remove half a million folders in each other takes as many open files.
func TestAPathHasItsBound(t *testing.T) {
	t.Parallel()
	dir, err := unpack(t, tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("d/", 2500) + "f", Mode: 0o644})
	if !errs.Is(err, errs.Invalid) {
		t.Errorf("a path of 5001 bytes: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it made %v", left)
	}
}

// Files have the modes that the tar says, as those of a folder that is read have.
func TestModesAreKept(t *testing.T) {
	t.Parallel()
	dir, err := unpack(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "all", Mode: 0o1777},
		tar.Header{Typeflag: tar.TypeDir, Name: "group", Mode: 0o2750},
		tar.Header{Typeflag: tar.TypeReg, Name: "all/program", Mode: 0o4755},
		tar.Header{Typeflag: tar.TypeReg, Name: "plain", Mode: 0o640},
	)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"all": fs.ModeDir | fs.ModeSticky | 0o777, "group": fs.ModeDir | fs.ModeSetgid | 0o750, "all/program": fs.ModeSetuid | 0o755, "plain": 0o640,
	} {
		if st, err := os.Lstat(filepath.Join(dir, name)); err != nil || st.Mode() != want {
			t.Errorf("%s is %v (%v), want %v", name, st.Mode(), err, want)
		}
	}
}

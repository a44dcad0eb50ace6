package compose

import (
	"archive/tar"
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// A socket among files that changed, as of a program that was started there, does
// not keep the files from being copied.
func TestSocketsAreNotCopied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.WriteFile(filepath.Join(dir, "page"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"socket", "page"} {
		if err := packed(w, filepath.Join(dir, name), "/www/"+name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(&b)
	if h, err := r.Next(); err != nil || h.Name != "www/page" {
		t.Errorf("the tar begins with %v, %v", h, err)
	}
	if h, err := r.Next(); err == nil {
		t.Errorf("and has %s", h.Name)
	}
}

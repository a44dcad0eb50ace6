package image_test

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/service/image"
)

// opaque reports whether overlayfs hides what lies below the folder.
func opaque(t *testing.T, dir string) bool {
	t.Helper()
	b := make([]byte, 8)
	n, err := unix.Lgetxattr(dir, "trusted.overlay.opaque", b)
	return err == nil && string(b[:n]) == "y"
}

// snapshot copies the store as it is on disk at this moment: what a kill would
// leave.
func (w *world) snapshot() string {
	w.t.Helper()
	to := filepath.Join(w.t.TempDir(), "copy")
	if out, err := exec.Command("cp", "-a", w.root, to).CombinedOutput(); err != nil {
		w.t.Fatalf("copy the store: %v: %s", err, out)
	}
	return to
}

// limits opens the service anew with another stall time.
func (w *world) limits(stall time.Duration) {
	w.t.Helper()
	s, err := image.New(image.Deps{Store: w.store, Users: w.users, Limits: image.Limits{Stall: stall}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = s
}

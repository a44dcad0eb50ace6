package image_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/service/image"
	"lus/internal/store/content"
)

// opaque reports whether overlayfs hides what lies below the folder.
func opaque(t *testing.T, dir string) bool {
	t.Helper()
	b := make([]byte, 8)
	n, err := unix.Lgetxattr(dir, "trusted.overlay.opaque", b)
	return err == nil && string(b[:n]) == "y"
}

// snapshot copies the store as it is on disk at one moment: what a kill would
// leave. A copy during which anything moved shows no such moment and is made
// again.
func (w *world) snapshot() string {
	w.t.Helper()
	dir := w.t.TempDir()
	deadline := time.Now().Add(5 * time.Minute)
	for i := 0; time.Now().Before(deadline); i++ {
		to := filepath.Join(dir, strconv.Itoa(i))
		before := w.stamps()
		out, err := exec.Command("cp", "-a", w.root, to).CombinedOutput()
		if w.stamps() != before {
			continue
		}
		if err != nil {
			w.t.Fatalf("copy the store: %v: %s", err, out)
		}
		return to
	}
	w.t.Fatal("the store never rests long enough to be copied")
	return ""
}

// stamps is every file of the store with its size and the time of its last
// change.
func (w *world) stamps() string {
	var all strings.Builder
	filepath.WalkDir(w.root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintln(&all, p, err)
			return nil
		}
		if i, err := d.Info(); err == nil {
			fmt.Fprintln(&all, p, i.Size(), i.ModTime().UnixNano())
		}
		return nil
	})
	return all.String()
}

// limits opens the service anew with another stall time.
func (w *world) limits(stall time.Duration) {
	w.t.Helper()
	s, err := image.New(image.Deps{Store: w.store, Users: w.users, Limits: image.Limits{Stall: stall, Pause: 10 * time.Millisecond}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service = s
}

// benchWorld is a service with one image, app:1.
func benchWorld(b *testing.B) *image.Service {
	b.Helper()
	s, err := content.Open(context.Background(), b.TempDir(), content.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	w, err := image.New(image.Deps{Store: s})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.ImportImage(context.Background(), bytes.NewReader(tarOf(b, entry{name: "f", text: "x"})), "app:1", "", "", nil); err != nil {
		b.Fatal(err)
	}
	return w
}

// noise is text that does not compress.
func noise(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}

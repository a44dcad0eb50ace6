package tree_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/tree"
	"lus/test/tars"
)

// A tar comes from inside a container or from a client: whatever its entries are
// called and link to, and in whatever order, nothing outside the root changes.
func FuzzUnpack(f *testing.F) {
	f.Add("5d\n0d/f\n2d/l->/out\n0d/l/new", false)
	f.Add("2l->../../out\n1l/h->l/kept\n0l", true)
	f.Add("0../../out/kept\n1h->../out/kept\n5..\n2.->/\n0x", false)
	f.Add("2a->b\n2b->a\n0a/x\n5a\n0a/x", true)
	f.Fuzz(func(t *testing.T, script string, chroot bool) {
		top := t.TempDir()
		out, dir := filepath.Join(top, "out"), filepath.Join(top, "root")
		write(t, filepath.Join(out, "kept"), "kept")
		must(t, os.MkdirAll(filepath.Join(dir, "dest"), 0o755))
		must(t, os.Symlink(out, filepath.Join(dir, "dest/away")))
		root := tree.Beneath(open(t, dir))
		if chroot {
			root = tree.Chroot(open(t, dir))
		}
		_ = tree.Unpack(context.Background(), tars.Scripted(script), root, "/dest", tree.UnpackOptions{Mine: true}) // refused or kept inside
		for place, want := range map[string]string{out: "kept", top: "out root"} {
			entries, err := os.ReadDir(place)
			must(t, err)
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if got := strings.Join(names, " "); got != want {
				t.Fatalf("%s has %s, had %s", filepath.Base(place), got, want)
			}
		}
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(out, "kept"), &st))
		if text, err := os.ReadFile(filepath.Join(out, "kept")); err != nil || string(text) != "kept" || st.Nlink != 1 || st.Mode != unix.S_IFREG|0o644 {
			t.Fatalf("the file outside is %q, mode %o, %d links, %v", text, st.Mode, st.Nlink, err)
		}
	})
}

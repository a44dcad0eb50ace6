package union_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/model/container"
	"lus/internal/service/engine/internal/union"
	"lus/test/need"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func file(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), mode))
	must(t, os.Chmod(path, mode))
}

// layers makes three: a base, one that hides and replaces, an empty upper.
func layers(t *testing.T) (upper, mid, base string) {
	t.Helper()
	need.Root(t)
	d := t.TempDir()
	upper, mid, base = filepath.Join(d, "u"), filepath.Join(d, "m"), filepath.Join(d, "b")
	for _, l := range []string{upper, mid, base} {
		must(t, os.Mkdir(l, 0o755))
	}
	return upper, mid, base
}

func read(t *testing.T, f *union.FS, name string) string {
	t.Helper()
	b, err := f.ReadFile(name, 1<<20)
	if errors.Is(err, os.ErrNotExist) {
		return "(none)"
	}
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return string(b)
}

func TestTheMergedViewIsTheOverlays(t *testing.T) {
	upper, mid, base := layers(t)
	file(t, base+"/etc/passwd", "base", 0o644)
	file(t, base+"/etc/group", "base", 0o644)
	file(t, base+"/gone/x", "x", 0o644)
	file(t, base+"/opaque/old", "old", 0o644)
	file(t, base+"/wasfile", "file", 0o644)
	file(t, mid+"/etc/passwd", "mid", 0o644)
	must(t, unix.Mknod(mid+"/gone", unix.S_IFCHR, 0))
	file(t, mid+"/opaque/new", "new", 0o644)
	must(t, unix.Setxattr(mid+"/opaque", "trusted.overlay.opaque", []byte("y"), 0))
	file(t, mid+"/wasfile/in", "folder now", 0o644)
	must(t, os.Symlink("/etc", mid+"/abs"))
	must(t, os.Symlink("../../../../etc/passwd", mid+"/climb"))
	must(t, os.Symlink("loop", mid+"/loop"))

	f, err := union.Open([]string{upper, mid, base})
	must(t, err)
	defer f.Close()
	for name, want := range map[string]string{
		"/etc/passwd": "mid", "/etc/group": "base", "/gone/x": "(none)", "/opaque/old": "(none)", "/opaque/new": "new",
		"/wasfile/in": "folder now", "/abs/group": "base", "/climb": "mid", "/etc/../etc//./passwd": "mid",
		"/nope/x": "(none)", "/etc/passwd/x": "(none)", "/loop": "(too many levels of symbolic links in /loop)",
		"/etc": "(/etc in the image is not a file)",
	} {
		if got := read(t, f, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := f.ReadFile("/etc/passwd", 2); err == nil {
		t.Error("a file over the limit was read")
	}
}

func TestALinkOutOfTheImageStaysInside(t *testing.T) {
	upper, _, base := layers(t)
	secret := filepath.Join(t.TempDir(), "secret")
	file(t, secret, "the host's", 0o600)
	must(t, os.MkdirAll(base+"/etc", 0o755))
	must(t, os.Symlink(secret, base+"/etc/passwd"))
	must(t, os.Symlink(filepath.Dir(secret), base+"/data"))
	f, err := union.Open([]string{upper, base})
	must(t, err)
	defer f.Close()
	if got := read(t, f, "/etc/passwd"); got != "(none)" {
		t.Fatalf("read %q", got)
	}
	dst := t.TempDir()
	if copied, err := f.CopyUp("/data", dst); err != nil || copied {
		t.Fatalf("copied %v, %v", copied, err)
	}
}

func TestCopyUp(t *testing.T) {
	upper, mid, base := layers(t)
	file(t, base+"/data/a", "a", 0o4755)
	must(t, os.Chown(base+"/data/a", 12, 34))
	must(t, os.Chmod(base+"/data/a", 0o755|os.ModeSetuid))
	must(t, os.Link(base+"/data/a", base+"/data/a2"))
	file(t, base+"/data/sub/deep", "deep", 0o600)
	file(t, base+"/data/hidden", "hidden", 0o600)
	must(t, unix.Mkfifo(base+"/data/pipe", 0o640))
	must(t, unix.Mknod(mid+"/data-", unix.S_IFCHR, 0))
	must(t, os.MkdirAll(mid+"/data", 0o750))
	must(t, os.Chown(mid+"/data", 999, 999))
	must(t, unix.Mknod(mid+"/data/hidden", unix.S_IFCHR, 0))
	must(t, os.Symlink("/etc/shadow", mid+"/data/link"))
	must(t, unix.Setxattr(base+"/data/sub/deep", "user.color", []byte("blue"), 0))
	when := time.Unix(1e9, 0)
	must(t, os.Chtimes(base+"/data/sub/deep", when, when))

	f, err := union.Open([]string{upper, mid, base})
	must(t, err)
	defer f.Close()
	dst := t.TempDir()
	copied, err := f.CopyUp("/data", dst)
	if err != nil || !copied {
		t.Fatalf("copied %v, %v", copied, err)
	}
	stat := func(name string) unix.Stat_t {
		t.Helper()
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dst, name), &st))
		return st
	}
	if st := stat(""); st.Uid != 999 || st.Mode&0o7777 != 0o750 {
		t.Errorf("the volume itself: uid %d mode %o", st.Uid, st.Mode)
	}
	a := stat("a")
	if a.Uid != 12 || a.Gid != 34 || a.Mode&0o7777 != 0o4755 {
		t.Errorf("a: %d:%d %o", a.Uid, a.Gid, a.Mode)
	}
	if stat("a2").Ino != a.Ino {
		t.Error("the hard link became a copy")
	}
	if st := stat("sub/deep"); st.Mode&0o7777 != 0o600 || st.Mtim.Sec != 1e9 {
		t.Errorf("sub/deep: %o %d", st.Mode, st.Mtim.Sec)
	}
	var v [16]byte
	if n, err := unix.Getxattr(dst+"/sub/deep", "user.color", v[:]); err != nil || string(v[:n]) != "blue" {
		t.Errorf("xattr: %q %v", v[:max(n, 0)], err)
	}
	if st := stat("pipe"); st.Mode&unix.S_IFMT != unix.S_IFIFO || st.Mode&0o777 != 0o640 {
		t.Errorf("pipe: %o", st.Mode)
	}
	if l, err := os.Readlink(dst + "/link"); err != nil || l != "/etc/shadow" {
		t.Errorf("link: %s %v", l, err)
	}
	if _, err := os.Lstat(dst + "/hidden"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a whiteout was not honoured")
	}
	must(t, os.WriteFile(base+"/data/later", nil, 0o644))
	if again, err := f.CopyUp("/data", dst); err != nil || again {
		t.Errorf("a volume with content was filled again: %v %v", again, err)
	}
}

// Starts of earlier versions left an empty file to mount on in the container's folder:
// over an empty one below it is no change.
func TestAStubOverAStubIsNoChange(t *testing.T) {
	upper, stubs, _ := layers(t)
	for _, layer := range []string{upper, stubs} {
		file(t, layer+"/etc/hosts", "", 0o644)
	}
	file(t, upper+"/etc/resolv.conf", "", 0o644)
	file(t, stubs+"/etc/resolv.conf", "not empty", 0o644)
	file(t, upper+"/etc/other", "", 0o644)
	file(t, stubs+"/etc/other", "", 0o644)
	f, err := union.Open([]string{upper, stubs})
	must(t, err)
	defer f.Close()
	got, err := f.Changes([]string{"/etc/hosts", "/etc/resolv.conf"})
	must(t, err)
	want := []container.Change{{Path: "/etc", Kind: container.Modified}, {Path: "/etc/other", Kind: container.Modified}, {Path: "/etc/resolv.conf", Kind: container.Modified}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

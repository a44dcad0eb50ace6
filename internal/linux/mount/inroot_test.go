package mount_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/linux/mount"
	"lus/test/need"
)

// root is a folder with links that would lead out of it, opened.
func root(t *testing.T) (*os.File, string) {
	t.Helper()
	dir := t.TempDir()
	for link, to := range map[string]string{
		"abs": "/etc", "up": "../../../../../../etc", "proc": "/proc/self/root", "loop": "loop",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "etc", "hostname"), "inside")
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, dir
}

func TestOpenStaysInside(t *testing.T) {
	r, _ := root(t)
	for _, name := range []string{"/etc/hostname", "abs/hostname", "up/hostname", "../../../etc/hostname", "/abs/../etc/./hostname"} {
		if got := read(t, r, name); got != "inside" {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, name := range []string{"/proc/etc/hostname", "loop", "no/such"} {
		if f, err := mount.Open(r, name, os.O_RDONLY, 0); err == nil {
			_ = f.Close()
			t.Errorf("%s was opened", name)
		}
	}
}

func TestMagicLinksAreRefused(t *testing.T) {
	need.Root(t)
	proc, err := mount.New("proc", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	if f, err := mount.Open(proc, "self/root", unix.O_PATH, 0); !errors.Is(err, unix.ELOOP) {
		_ = f
		t.Errorf("the root of a process was opened: %v", err)
	}
}

func TestMkdirAll(t *testing.T) {
	r, dir := root(t)
	for name, want := range map[string]string{
		"/a/b/c": "a/b/c", "abs/new/dir": "etc/new/dir", "../../x": "x", "/": "", "etc": "etc",
	} {
		f, err := mount.MkdirAll(r, name, 0o750)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = f.Close()
		if st, err := os.Stat(filepath.Join(dir, want)); err != nil || !st.IsDir() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st, _ := os.Stat(filepath.Join(dir, "a/b")); st.Mode().Perm() != 0o750 {
		t.Errorf("mode %v", st.Mode())
	}
	if _, err := os.Stat("/etc/new"); err == nil {
		t.Error("it was made on the host")
	}
	if _, err := mount.MkdirAll(r, "/etc/hostname/x", 0o755); err == nil {
		t.Error("a folder was made in a file")
	}
}

package tree_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/tree"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(text), 0o644))
}

// sample is a folder with one of everything.
func sample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "d/f"), "one")
	must(t, os.Chmod(filepath.Join(dir, "d/f"), 0o4755))
	must(t, os.Link(filepath.Join(dir, "d/f"), filepath.Join(dir, "d/hard")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "d/link")))
	must(t, unix.Mkfifo(filepath.Join(dir, "d/pipe"), 0o640))
	must(t, os.Mkdir(filepath.Join(dir, "d/shut"), 0o500))
	return dir
}

func pack(t *testing.T, dir, base, as string, o tree.PackOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, tree.Pack(context.Background(), &b, open(t, dir), base, as, o))
	return b.Bytes()
}

func names(t *testing.T, data []byte) string {
	t.Helper()
	var out []string
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(out, " ")
		}
		must(t, err)
		out = append(out, h.Name)
	}
}

func TestPackNamesWhatItWasToldTo(t *testing.T) {
	dir := sample(t)
	for _, c := range []struct{ base, as, want string }{
		{"d", "x", "x/ x/f x/hard x/link x/pipe x/shut/"},
		{".", "", "d/ d/f d/hard d/link d/pipe d/shut/"},
		{".", ".", "./ ./d/ ./d/f ./d/hard ./d/link ./d/pipe ./d/shut/"},
		{".", "/", "/ /d/ /d/f /d/hard /d/link /d/pipe /d/shut/"},
	} {
		if got := names(t, pack(t, dir, c.base, c.as, tree.PackOptions{})); got != c.want {
			t.Errorf("%s as %q: %s", c.base, c.as, got)
		}
	}
	if err := tree.Pack(context.Background(), io.Discard, open(t, dir), "none", "none", tree.PackOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	skip := func(name string, _ *unix.Stat_t) bool { return name == "d/shut" || name == "d/link" }
	if got := names(t, pack(t, dir, ".", "", tree.PackOptions{Skip: skip})); got != "d/ d/f d/hard d/pipe" {
		t.Errorf("with less: %s", got)
	}
}

func TestWhatIsUnpackedIsWhatWasPacked(t *testing.T) {
	from, to := sample(t), t.TempDir()
	first := pack(t, from, "d", "d", tree.PackOptions{Exact: true})
	must(t, tree.Unpack(context.Background(), bytes.NewReader(first), tree.Beneath(open(t, to)), "/", tree.UnpackOptions{Mine: os.Getuid() != 0}))
	if again := pack(t, to, "d", "d", tree.PackOptions{Exact: true}); !bytes.Equal(first, again) {
		t.Error("packed again it differs")
	}
	a, err := os.Stat(filepath.Join(to, "d/f"))
	must(t, err)
	if b, err := os.Stat(filepath.Join(to, "d/hard")); err != nil || !os.SameFile(a, b) {
		t.Errorf("the hard link became a file: %v", err)
	}
}

// unpack sends entries into a folder of a root with links that lead out of it.
func unpack(t *testing.T, root tree.Root, dest string, o tree.UnpackOptions, list ...tar.Header) error {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range list {
		h.Mode = 0o644
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		must(t, w.WriteHeader(&h))
		if h.Size > 0 {
			_, err := w.Write([]byte("evil"))
			must(t, err)
		}
	}
	must(t, w.Close())
	o.Mine = true
	return tree.Unpack(context.Background(), &b, root, dest, o)
}

func TestNothingLeadsOutOfTheRoot(t *testing.T) {
	top := t.TempDir()
	out, dir := filepath.Join(top, "out"), filepath.Join(top, "root")
	write(t, filepath.Join(out, "kept"), "kept")
	must(t, os.MkdirAll(filepath.Join(dir, "dest"), 0o755))
	must(t, os.Symlink(out, filepath.Join(dir, "dest/away")))
	must(t, os.Symlink("../../out", filepath.Join(dir, "dest/up")))
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
	for kind, root := range map[string]tree.Root{"chroot": tree.Chroot(open(t, dir)), "beneath": tree.Beneath(open(t, dir))} {
		for _, list := range [][]tar.Header{
			{file("../../out/new")}, {file("away/new")}, {file("up/new")}, {file("away/kept")},
			{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: out}, file("l/new")},
			{{Name: "p", Typeflag: tar.TypeSymlink, Linkname: "/proc/self/root" + out}, file("p/new")},
			{{Name: "h", Typeflag: tar.TypeLink, Linkname: "../../out/kept"}},
			{{Name: "h", Typeflag: tar.TypeLink, Linkname: "up/kept"}},
		} {
			err := unpack(t, root, "/dest", tree.UnpackOptions{}, list...)
			t.Logf("%s: %v: %v", kind, list[len(list)-1].Name, err)
			entries, rerr := os.ReadDir(out)
			must(t, rerr)
			if data, _ := os.ReadFile(filepath.Join(out, "kept")); len(entries) != 1 || string(data) != "kept" {
				t.Fatalf("%s: %v reached the outside", kind, list)
			}
			var st unix.Stat_t
			if unix.Lstat(filepath.Join(out, "kept"), &st); st.Nlink != 1 {
				t.Fatalf("%s: %v linked to the outside", kind, list)
			}
		}
	}
}

func TestFilesAndFoldersReplaceEachOtherUnlessKept(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "folder/f"), "f")
	write(t, filepath.Join(dir, "file"), "f")
	root := tree.Beneath(open(t, dir))
	asFile, asFolder := tar.Header{Name: "folder", Typeflag: tar.TypeReg}, tar.Header{Name: "file/", Typeflag: tar.TypeDir}
	keep := tree.UnpackOptions{KeepKind: true}
	if err := unpack(t, root, "/", keep, asFile); err == nil || !strings.Contains(err.Error(), "cannot overwrite directory") {
		t.Errorf("a file over a folder: %v", err)
	}
	if err := unpack(t, root, "/", keep, asFolder); err == nil || !strings.Contains(err.Error(), "cannot overwrite non-directory") {
		t.Errorf("a folder over a file: %v", err)
	}
	must(t, unpack(t, root, "/", tree.UnpackOptions{}, asFile, asFolder))
	if st, err := os.Lstat(filepath.Join(dir, "folder")); err != nil || !st.Mode().IsRegular() {
		t.Errorf("the folder stayed: %v", err)
	}
	if st, err := os.Lstat(filepath.Join(dir, "file")); err != nil || !st.IsDir() {
		t.Errorf("the file stayed: %v", err)
	}
}

func TestABrokenTarIsRefused(t *testing.T) {
	whole := pack(t, sample(t), ".", "", tree.PackOptions{})
	for what, data := range map[string][]byte{"cut": whole[:700], "noise": bytes.Repeat([]byte("noise"), 400)} {
		err := tree.Unpack(context.Background(), bytes.NewReader(data), tree.Beneath(open(t, t.TempDir())), "/", tree.UnpackOptions{Mine: true})
		if err == nil {
			t.Errorf("%s: was taken for a tar", what)
		}
	}
}

func TestTargetFollowsLinksInsideTheRoot(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a/f"), "f")
	for link, to := range map[string]string{"abs": "/a", "rel": "a/../abs", "up": "../../../a/f", "none": "/not/there", "loop": "loop"} {
		must(t, os.Symlink(to, filepath.Join(dir, link)))
	}
	root := tree.Chroot(open(t, dir))
	for name, want := range map[string]string{"/abs/f": "/a/f", "/rel": "/a", "/up": "/a/f", "/none": "/not/there", "/loop": "/loop", "/../..": "/"} {
		if got := root.Target(name); got != want {
			t.Errorf("%s leads to %s, not %s", name, got, want)
		}
	}
}

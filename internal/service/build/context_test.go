package build_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/model/build"
	"lus/test/need"
)

type entry struct {
	name, text, link string
	kind             byte
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		must(t, w.WriteHeader(&tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Mode: 0o644, Size: int64(len(e.text))}))
		_, err := io.WriteString(w, e.text)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// packed is data as a program writes it, which the machine has or the test skips.
func packed(t *testing.T, data []byte, program, pkg string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(need.Program(t, program, pkg), args...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	must(t, err)
	return out
}

func (b *builder) tar(data []byte, change ...func(*build.Request)) built {
	b.t.Helper()
	return b.build("", append([]func(*build.Request){func(q *build.Request) {
		q.ContextDir, q.Context = "", bytes.NewReader(data)
	}}, change...)...)
}

func TestContextAsTar(t *testing.T) {
	b := newBuilder(t)
	plain := tarOf(t, entry{name: "Dockerfile", text: "FROM busybox\nCOPY sub/a /a\nCOPY link /b\n"},
		entry{name: "sub/a", text: "A"}, entry{name: "link", link: "sub/a", kind: tar.TypeSymlink})
	for name, data := range map[string][]byte{
		"plain": plain, "gzip": gzipped(t, plain), "xz": packed(t, plain, "xz", "xz-utils", "-c"), "bzip2": packed(t, plain, "bzip2", "bzip2", "-c"),
	} {
		t.Run(name, func(t *testing.T) {
			r := b.tar(data).ok(t)
			b.wantFile(r.id, "a", "A")
			b.wantFile(r.id, "b", "A")
		})
	}
	left, _ := filepath.Glob(filepath.Join(b.root, "build", "context-*"))
	if len(left) > 0 {
		t.Errorf("unpacked contexts are left: %v", left)
	}
}

func TestHostileTars(t *testing.T) {
	b := newBuilder(t)
	outside := filepath.Join(t.TempDir(), "outside")
	dockerfile := entry{name: "Dockerfile", text: "FROM busybox\nCOPY . /c\n"}
	for name, entries := range map[string][]entry{
		"climbs":               {{name: "../../../../../../" + outside, text: "x"}},
		"through a symlink":    {{name: "l", link: filepath.Dir(outside), kind: tar.TypeSymlink}, {name: "l/outside", text: "x"}},
		"over a symlink":       {{name: "l", link: outside, kind: tar.TypeSymlink}, {name: "l", text: "x"}, {name: "l/below", text: "x"}},
		"hard link to outside": {{name: "h", link: "../../../../../../etc/passwd", kind: tar.TypeLink}},
		"hard link by symlink": {{name: "l", link: "/etc", kind: tar.TypeSymlink}, {name: "h", link: "l/passwd", kind: tar.TypeLink}},
		"device":               {{name: "d", kind: tar.TypeBlock}},
		"fifo":                 {{name: "f", kind: tar.TypeFifo}},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.tar(tarOf(t, append([]entry{dockerfile}, entries...)...))
			wantInvalid(t, r.err, "context")
			if _, err := os.Lstat(outside); err == nil {
				t.Error("a file was written outside the context")
				os.Remove(outside)
			}
		})
	}
	t.Run("cut off", func(t *testing.T) {
		data := tarOf(t, dockerfile, entry{name: "a", text: strings.Repeat("x", 5000)})
		wantInvalid(t, b.tar(data[:3000]).err, "cannot be unpacked")
	})
	t.Run("cut off in gzip", func(t *testing.T) {
		data := gzipped(t, tarOf(t, dockerfile, entry{name: "a", text: strings.Repeat("x", 5000)}))
		wantInvalid(t, b.tar(data[:len(data)-9]).err, "not a whole tar")
	})
	t.Run("no tar at all", func(t *testing.T) {
		wantInvalid(t, b.tar([]byte(strings.Repeat("nonsense ", 200))).err, "not a whole tar")
	})
	t.Run("an absolute path stays inside", func(t *testing.T) {
		r := b.tar(tarOf(t, dockerfile, entry{name: outside, text: "x"})).ok(t)
		b.wantFile(r.id, "c"+outside, "x")
	})
	t.Run("a symlink out of the context brings nothing", func(t *testing.T) {
		r := b.tar(tarOf(t, entry{name: "Dockerfile", text: "FROM busybox\nCOPY l/passwd /p\n"}, entry{name: "l", link: "/etc", kind: tar.TypeSymlink}))
		wantInvalid(t, r.err, "passwd")
	})
}

func TestWhereTheDockerfileIs(t *testing.T) {
	b := newBuilder(t)
	const text = "FROM busybox\nCOPY a /a\n"
	dir := folder(t, map[string]string{"a": "A", "docker/Web": text, "docker/Web.dockerignore": "zz"})
	elsewhere := filepath.Join(folder(t, map[string]string{"Other": text}), "Other")
	for name, change := range map[string]func(*build.Request){
		"in a subfolder":      func(q *build.Request) { q.Dockerfile = "docker/Web" },
		"outside the context": func(q *build.Request) { q.Dockerfile = elsewhere },
		"as text":             func(q *build.Request) { q.DockerfileText = []byte(text) },
	} {
		t.Run(name, func(t *testing.T) {
			b.wantFile(b.build(dir, change).ok(t).id, "a", "A")
		})
	}
	t.Run("missing", func(t *testing.T) {
		wantInvalid(t, b.build(dir).err, filepath.Join(dir, "Dockerfile"), "-f")
		wantInvalid(t, b.tar(tarOf(t, entry{name: "a", text: "A"})).err, "no Dockerfile in the context")
	})
	t.Run("a pipe that nobody writes to", func(t *testing.T) {
		dir := folder(t, map[string]string{"a": "A"})
		must(t, unix.Mkfifo(filepath.Join(dir, "Dockerfile"), 0o644))
		must(t, os.Symlink("Dockerfile", filepath.Join(dir, "link")))
		for _, name := range []string{"Dockerfile", "link"} {
			for _, classic := range []bool{false, true} {
				wantInvalid(t, b.build(dir, func(q *build.Request) { q.Dockerfile, q.Classic = name, classic }).err, "is not a file that can be read")
			}
		}
	})
	t.Run("a tar does not reach the host's files", func(t *testing.T) {
		for _, path := range []string{elsewhere, "../../Other"} {
			r := b.tar(tarOf(t, entry{name: "a", text: "A"}), func(q *build.Request) { q.Dockerfile = path })
			wantInvalid(t, r.err, "outside the context")
		}
	})
}

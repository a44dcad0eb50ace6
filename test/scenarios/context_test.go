package scenarios

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// The daemon reads a folder of this host itself, where Docker's builder sends
// it: either finds what the other has built.
func TestOneContextSentAndRead(t *testing.T) {
	t.Parallel()
	s := shared(t)
	docker := buildx(t, s)
	files := map[string]string{
		"Dockerfile": "FROM busybox\nCOPY a.txt /a\nCOPY --chown=7:8 . /all\nRUN cat /a /all/sub/b\n", ".dockerignore": "ignored\n*.log\n!keep.log\n",
		"a.txt": "A", "sub/b": "B", "ignored/c": "C", "x.log": "X", "keep.log": "K",
	}
	for _, first := range []string{"sent", "read"} {
		dir := stack.Folder(t, files)
		if err := os.WriteFile(filepath.Join(dir, "which"), []byte(first), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("sub/b", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		sent, read := tagged(t, s, "sent"), tagged(t, s, "read")
		sends := func() stack.Result { return docker("build", "--progress", "plain", "-t", sent, dir) }
		reads := func() stack.Result { return s.Lus("build", "--progress", "plain", "-t", read, dir) }
		both := []func() stack.Result{sends, reads}
		if first == "read" {
			both = []func() stack.Result{reads, sends}
		}
		both[0]().Want(t, 0)
		second := both[1]()
		second.Want(t, 0)
		for _, step := range []string{"COPY a.txt", "COPY --chown", "RUN cat"} {
			if !regexp.MustCompile(regexp.QuoteMeta(step) + `[^\n]*\n#\d+ CACHED`).MatchString(second.All()) {
				t.Errorf("first %s: %s is not CACHED the second time:\n%s", first, step, second.All())
			}
		}
		const layers = "{{.RootFS.Layers}}"
		if a, b := s.OK(t, "inspect", "-f", layers, sent), s.OK(t, "inspect", "-f", layers, read); a != b {
			t.Errorf("first %s: the layers differ: %s and %s", first, a, b)
		}
		stack.Says(t, s.OK(t, "run", "--rm", read, "ls", "/all"), "keep.log", "link", "sub")
	}
}

// Built anew from nothing, the same folder gives the same layers either way.
func TestOneContextGivesTheSameLayers(t *testing.T) {
	t.Parallel()
	s := shared(t)
	docker := buildx(t, s)
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n", "a": "A", "b/c": "C", "b/d": "D"})
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b/hard")); err != nil {
		t.Fatal(err)
	}
	sent, read := tagged(t, s, "sent"), tagged(t, s, "read")
	docker("build", "--no-cache", "-t", sent, dir).Want(t, 0)
	s.OK(t, "build", "--no-cache", "-t", read, dir)
	const layers = "{{.RootFS.Layers}}"
	if a, b := s.OK(t, "inspect", "-f", layers, sent), s.OK(t, "inspect", "-f", layers, read); a != b {
		t.Errorf("the layers differ: %s and %s", a, b)
	}
}

func TestHostileContext(t *testing.T) {
	t.Parallel()
	need.Root(t)
	s := shared(t)
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY . /c\n"})
	for name, to := range map[string]string{"etc": "/etc", "up": "../../../../etc/passwd", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	image := tagged(t, s, "hostile")
	s.OK(t, "build", "-t", image, dir)
	stack.Says(t, s.OK(t, "run", "--rm", image, "sh", "-c", "ls -l /c"), "etc -> /etc", "up -> ../../../../etc/passwd", "loop -> loop")
	for _, from := range []string{"etc/passwd", "up", "loop"} {
		text := stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY " + from + " /p\n"})
		r := s.Lus("build", "-t", image, "-f", filepath.Join(text, "Dockerfile"), dir)
		if r.Code == 0 {
			t.Errorf("COPY %s brought something that lies outside the context: %s", from, s.OK(t, "run", "--rm", image, "cat", "/p"))
		}
	}
}

package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// byCrane does with crane what its users do: images between registries, to files
// and back, changed, listed, flattened and removed.
func byCrane(t *testing.T, s *stack.Stack, host, ref string) {
	do := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(s.Do(nil, need.Crane(t), append([]string{"--insecure"}, args...)...).Want(t, 0))
	}
	to, file := host+"/by/crane", filepath.Join(t.TempDir(), "tar")
	do("copy", ref, to+":1")
	digest := do("digest", to+":1")
	if digest != do("digest", ref) {
		t.Errorf("the copy is %s", digest)
	}
	do("validate", "--remote", to+":1")
	do("pull", to+"@"+digest, file)
	do("push", file, to+":2")
	do("mutate", "--label", "by=crane", "--tag", to+":3", to+":1")
	do("tag", to+":3", "4")
	do("index", "append", "--manifest", to+":1", "--manifest", to+":3", "--tag", to+":5")
	if got, want := do("ls", to), "1\n2\n3\n4\n5"; got != want {
		t.Errorf("there are the tags %q", got)
	}
	stack.Says(t, do("catalog", host), "by/crane", "made")
	stack.Says(t, do("config", to+":4"), `"by":"crane"`)
	for _, tag := range []string{"1", "2", "3", "5"} {
		if got := s.OK(t, "run", "--rm", to+":"+tag); got != "built" {
			t.Errorf("what %s runs says %q", tag, got)
		}
	}
	do("delete", to+"@"+do("digest", to+":2"))
	stack.Says(t, s.Do(nil, need.Crane(t), "--insecure", "manifest", to+":2").All(), "MANIFEST_UNKNOWN")
	t.Cleanup(func() { s.Lus("rmi", "-f", to+":1", to+":2", to+":3", to+":5") })
}

// byOras carries what is no image: files, what is attached to an image, and an image
// with all that is attached to it.
func byOras(t *testing.T, s *stack.Stack, host, ref string) {
	dir := stack.Folder(t, map[string]string{"a.txt": "a file", "sub/b.json": `{"b": 1}`, "sbom.json": `{"packages": []}`})
	do := func(in string, args ...string) string {
		t.Helper()
		return strings.TrimSpace(s.DoIn(in, nil, need.Oras(t), args...).Want(t, 0))
	}
	plain := "--plain-http"
	files, image, copied := host+"/by/oras:files", host+"/by/oras:image", host+"/by/oras-copy:image"
	do(dir, "push", plain, files, "--artifact-type", "application/vnd.test", "a.txt:text/plain", "sub/b.json")
	back := t.TempDir()
	do(back, "pull", plain, files)
	for name, want := range map[string]string{"a.txt": "a file", "sub/b.json": `{"b": 1}`} {
		if got, err := os.ReadFile(filepath.Join(back, name)); err != nil || string(got) != want {
			t.Errorf("%s came back as %q, %v", name, got, err)
		}
	}
	stack.Says(t, do(dir, "manifest", "fetch", plain, files), "application/vnd.test", "text/plain")

	do(dir, "cp", "--from-plain-http", "--to-plain-http", ref, image)
	do(dir, "attach", plain, image, "--artifact-type", "application/vnd.sbom", "sbom.json")
	stack.Says(t, do(dir, "discover", plain, "--format", "json", image), "application/vnd.sbom")
	do(dir, "cp", "-r", "--from-plain-http", "--to-plain-http", image, copied)
	stack.Says(t, do(dir, "discover", plain, "--format", "json", copied), "application/vnd.sbom")
	if got := s.OK(t, "run", "--rm", copied); got != "built" {
		t.Errorf("the image with what is attached says %q", got)
	}
	t.Cleanup(func() { s.Lus("rmi", "-f", copied) })

	stack.Says(t, do(dir, "repo", "ls", plain, host), "by/oras")
	stack.Says(t, do(dir, "repo", "tags", plain, host+"/by/oras"), "files", "image")
	do(dir, "tag", plain, files, "again")
	do(dir, "manifest", "delete", plain, "--force", host+"/by/oras:again")
	if got := do(dir, "repo", "tags", plain, host+"/by/oras"); strings.Contains(got, "files") {
		t.Errorf("what was deleted has the tags %q", got)
	}
	stack.Says(t, s.Fail(t, 1, "pull", files), "by/oras")
}

package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// The files of an image can be mounted into a container of another: read-only,
// for as long as it runs, and the image stays as long as the container.
func TestAnImageAsAMount(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.Build(t, "data:1", map[string]string{
		"Dockerfile": "FROM scratch\nCOPY a /dir/a\nCOPY b /dir/b\nCOPY out /out\n", "a": "first", "b": "second", "out": "",
	}).Want(t, 0)
	s.Build(t, "single:1", map[string]string{"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": "one layer"}).Want(t, 0)
	run := func(mount string, line string) string {
		t.Helper()
		return s.OK(t, "run", "--rm", "--mount", mount, stack.Busybox, "sh", "-c", line)
	}
	if got := run("type=image,source=data:1,target=/m", "cat /m/dir/a /m/dir/b; touch /m/x 2>&1 || true"); !strings.HasPrefix(got, "firstsecond") || !strings.Contains(got, "Read-only file system") {
		t.Errorf("it saw %q", got)
	}
	if got := run("type=image,source=data:1,target=/m,image-subpath=dir", "ls /m"); got != "a\nb" {
		t.Errorf("of a part it saw %q", got)
	}
	if got := run("type=image,source=single:1,target=/m", "cat /m/f; touch /m/x 2>/dev/null || echo ', read-only'"); got != "one layer, read-only" {
		t.Errorf("of one layer it saw %q", got)
	}
	for mount, want := range map[string]string{
		"type=image,source=nonesuch:1,target=/m":                   "nonesuch:1",
		"type=image,source=data:1,target=/m,image-subpath=../..":   "must stay inside",
		"type=image,source=data:1,target=/m,image-subpath=no/such": "no such file",
		"type=volume,source=data,target=/m,image-subpath=x":        "do not go with type volume",
	} {
		r := s.Lus("run", "--rm", "--mount", mount, stack.Busybox, "true")
		if r.Code == 0 || !strings.Contains(r.Err, want) {
			t.Errorf("%s: %d %s", mount, r.Code, r.Err)
		}
	}

	s.OK(t, "run", "-d", "--name", "web", "--mount", "type=image,source=data:1,target=/m", stack.Busybox, "sleep", "600")
	stack.Says(t, s.Fail(t, 1, "rmi", "data:1"), "(must force) - container web is using its referenced image")
	stack.Says(t, s.Fail(t, 1, "rmi", "-f", s.OK(t, "images", "-q", "data:1")), "is being used by running container web")
	if got := s.OK(t, "inspect", "-f", "{{range .Mounts}}{{.Type}} {{.Source}} {{.Destination}} {{.RW}}{{end}}", "web"); got != "image data:1 /m false" {
		t.Errorf("inspect tells %q", got)
	}
	s.Kill()
	s.StartDaemon(t)
	if got := s.OK(t, "exec", "web", "cat", "/m/dir/a"); got != "first" {
		t.Errorf("after the daemon's death it sees %q", got)
	}
	id := s.OK(t, "inspect", "-f", "{{.Id}}", "web")
	s.OK(t, "stop", "-t", "0", "web")
	stack.Eventually(t, "the end of the mount", func() bool { return !mountedAt(t, filepath.Join(s.Root, "containers", id, "image0")) })
	if got := s.OK(t, "cp", "web:/m/dir/b", "-"); !strings.Contains(got, "second") {
		t.Errorf("cp of a stopped one gives %q", got)
	}
	// The name may go, the files stay for those who have them.
	s.OK(t, "rmi", "-f", "data:1")
	s.OK(t, "image", "prune", "-f")
	s.OK(t, "start", "web")
	if got := s.OK(t, "exec", "web", "cat", "/m/dir/b"); got != "second" {
		t.Errorf("without the image's name it sees %q", got)
	}
	s.OK(t, "rm", "-f", "web")
	stack.Eventually(t, "the container's folder to go", func() bool {
		_, err := os.Stat(filepath.Join(s.Root, "containers", id))
		return os.IsNotExist(err)
	})
}

// In a Compose file the image is built or pulled first, and another one makes
// another container.
func TestComposeMountsAnImage(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		"assets/Dockerfile": "FROM scratch\nCOPY page /www/page\n", "assets/page": "one",
	})
	image := p.name + "-assets"
	p.write("compose.yaml", `
services:
  web:
    image: busybox
    command: sleep 600
    volumes: [{type: image, source: `+image+`, target: /srv, image: {subpath: www}}]
  assets:
    profiles: [build]
    image: `+image+`
    build: assets
`)
	t.Cleanup(func() { p.Lus("rmi", "-f", image) })
	r := p.do("up", "-d")
	if r.Code == 0 {
		t.Fatal("an image that is not there was mounted")
	}
	p.ok("build", "assets")
	p.ok("up", "-d")
	page := func() string { return p.OK(t, "exec", p.name+"-web-1", "cat", "/srv/page") }
	if got := page(); got != "one" {
		t.Errorf("it sees %q", got)
	}
	if plan := p.ok("up", "-d", "--dry-run"); strings.TrimSpace(plan) != "= 1 unchanged" {
		t.Errorf("something is left to do:\n%s", plan)
	}
	p.write("assets/page", "two")
	p.ok("build", "assets")
	stack.Says(t, p.ok("up", "-d", "--dry-run"), "image "+image+" at /srv: ")
	p.ok("up", "-d")
	if got := page(); got != "two" {
		t.Errorf("with another image it sees %q", got)
	}
}

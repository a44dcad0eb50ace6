package scenarios

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// repository makes a git repository of the project's folder with one commit.
func (p *project) repository() {
	p.t.Helper()
	need.Program(p.t, "git", "git")
	p.git("init", "-q", "-b", "main")
	p.commit("first")
}

func (p *project) git(args ...string) string {
	p.t.Helper()
	args = append([]string{"-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false"}, args...)
	return strings.TrimSpace(p.DoIn(p.dir, nil, "git", args...).Want(p.t, 0))
}

func (p *project) commit(message string) {
	p.t.Helper()
	p.git("add", "-A")
	p.git("commit", "-q", "-m", message)
}

// write writes a file of the project's folder.
func (p *project) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) edit(name, old, new string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), old) {
		p.t.Fatalf("%s: no %q in it: %v", name, old, err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(data), old, new)), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// deployed are the numbers of the project's deployments, the newest first.
func (p *project) deployed() []string {
	p.t.Helper()
	return strings.Fields(p.OK(p.t, "deploy", "ls", "-q", p.name))
}

// state is what the project's containers are made of.
func (p *project) state() string {
	p.t.Helper()
	lines := strings.Split(p.OK(p.t, "ps", "-a", "--filter", "label=com.docker.compose.project="+p.name, "--format",
		`{{.Names}} {{.Image}} {{.Label "com.docker.compose.config-hash"}} {{.State}}`), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestS92AChangeIsDeployedAndRevertedByGit(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web: {image: busybox, command: sleep 1000, stop_signal: KILL, environment: {LEVEL: info, API_TOKEN: one}}
  db: {image: busybox, command: sleep 1000, stop_signal: KILL}
`})
	p.repository()
	p.ok("up", "-d")
	former := p.state()
	p.edit("compose.yaml", "info", "debug")
	p.edit("compose.yaml", "one", "two")
	p.commit("more output")
	p.ok("up", "-d")
	second := p.git("rev-parse", "HEAD")
	p.git("revert", "--no-edit", "HEAD")
	p.ok("up", "-d")
	if now := p.state(); now != former {
		t.Errorf("not the former state:\n%s\nwas\n%s", now, former)
	}
	p.ok("up", "-d") // changes nothing, and is none

	n := p.deployed()
	if len(n) != 3 {
		t.Fatalf("deployments %v, want three", n)
	}
	stack.Says(t, p.OK(t, "deploy", "ls", p.name), p.name, second[:12], "ok", "~1", "+3")
	stack.Says(t, p.OK(t, "deploy", "show", n[1]), second, "main", "more output", "compose -p "+p.name+" up -d", "environment.LEVEL: info -> debug")
	diff := p.OK(t, "deploy", "diff", n[1])
	stack.Says(t, diff, "~ service web", "environment.LEVEL: info -> debug", "environment.API_TOKEN: changed", "-> "+second[:12])
	if strings.Contains(diff, "two") {
		t.Errorf("a token is shown:\n%s", diff)
	}
	r := p.Lus("deploy", "diff", n[2], n[0])
	stack.Says(t, r.Out, "commit: ")
	if strings.Contains(r.Out, "service") {
		t.Errorf("the first and the last differ:\n%s", r.Out)
	}
}

func TestADeploymentFromAChangedFolderSaysSo(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web: {image: busybox, command: sleep 1000, stop_signal: KILL, environment: {LEVEL: info}}
`})
	p.repository()
	p.edit("compose.yaml", "info", "debug")
	p.ok("up", "-d")
	stack.Says(t, p.OK(t, "deploy", "ls", p.name), p.git("rev-parse", "HEAD")[:12]+"*")
	stack.Says(t, p.OK(t, "deploy", "show", p.deployed()[0]), " M compose.yaml")
}

func TestRollbackGoesBackToImagesAndConfig(t *testing.T) {
	t.Parallel()
	s := shared(t)
	p := compose(t, s, map[string]string{"Dockerfile": "FROM busybox\nRUN echo one >/version\n", "compose.yaml": `
services:
  web: {build: ., command: sleep 1000, stop_signal: KILL, environment: {LEVEL: info}}
`})
	p.ok("up", "-d")
	former := s.OK(t, "image", "inspect", "-f", "{{.Id}}", p.name+"-web")
	p.edit("Dockerfile", "one", "two")
	p.edit("compose.yaml", "info", "debug")
	if err := os.WriteFile(filepath.Join(p.dir, "compose.yaml"), []byte(`
services:
  web: {build: ., command: sleep 1000, stop_signal: KILL, environment: {LEVEL: debug}}
  extra: {image: busybox, command: sleep 1000, stop_signal: KILL}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	p.ok("up", "-d", "--build")
	stack.Says(t, p.ok("exec", "-T", "web", "cat", "/version"), "two")
	s.OK(t, "image", "prune", "-f") // the former image has no name any more, and is held

	first := p.deployed()[1]
	dry := s.OK(t, "deploy", "rollback", "--dry-run", first)
	stack.Says(t, dry, "~ container "+p.name+"-web-1", "environment.LEVEL: debug -> info", "- container "+p.name+"-extra-1")
	stack.Says(t, p.ok("exec", "-T", "web", "cat", "/version"), "two")

	s.OK(t, "deploy", "rollback", first)
	stack.Says(t, p.ok("exec", "-T", "web", "sh", "-c", "cat /version; echo $LEVEL"), "one", "info")
	if now := s.OK(t, "image", "inspect", "-f", "{{.Id}}", p.name+"-web"); now != former {
		t.Errorf("the name stands for %s, not for %s", now, former)
	}
	if strings.Contains(p.state(), "extra") {
		t.Errorf("a service that was not there yet is left:\n%s", p.state())
	}
	stack.Says(t, s.OK(t, "deploy", "ls", p.name), "(back to "+first+")")

	// What is gone is named, and nothing is touched.
	p.ok("down")
	s.OK(t, "rmi", "-f", former[7:])
	r := s.Lus("deploy", "rollback", first)
	if r.Code == 0 {
		t.Fatal("it went back without the image")
	}
	stack.Says(t, r.Err, "images are gone", p.name+"-web", "build it again")
	s.Fail(t, 1, "deploy", "rollback", "999999")
}

package scenarios

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lus/test/stack"
)

// ten is a project of ten services with a network, volumes and dependencies, in
// one of two versions.
func ten(version int) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range 10 {
		fmt.Fprintf(&b, "  s%d:\n    image: busybox\n    command: sleep 1000\n    stop_signal: KILL\n    environment: {VERSION: \"%d\"}\n    volumes: [\"/anonymous\", \"v%d:/named\"]\n", i, version, i%3)
		if i > 0 {
			fmt.Fprintf(&b, "    depends_on: [s%d]\n", i/2)
		}
	}
	b.WriteString("    deploy: {replicas: 2}\nvolumes: {v0: , v1: , v2: }\n")
	return b.String()
}

// converged looks whether the project is what the file says, and no more.
func (p *project) converged(version int) {
	p.t.Helper()
	p.ok("up", "-d")
	want := map[string]bool{}
	for i := range 10 {
		want[fmt.Sprintf("%s-s%d-1", p.name, i)] = true
	}
	want[p.name+"-s9-2"] = true
	list := strings.Fields(p.OK(p.t, "ps", "-a", "--filter", "label=com.docker.compose.project="+p.name, "--format", "{{.Names}}/{{.State}}"))
	for _, line := range list {
		name, state, _ := strings.Cut(line, "/")
		if !want[name] || state != "running" {
			p.t.Errorf("%s is %s", name, state)
		}
	}
	if len(list) != len(want) {
		p.t.Errorf("%d containers, not %d: %v", len(list), len(want), list)
	}
	for name := range want {
		stack.Says(p.t, p.OK(p.t, "exec", name, "env"), fmt.Sprint("VERSION=", version))
	}
	if r := p.ok("up", "-d", "--dry-run"); !strings.Contains(r, "= 11 unchanged") {
		p.t.Errorf("another up would change something:\n%s", r)
	}
}

// begin starts an up and returns it, running, in a group of its own.
func (p *project) begin() *exec.Cmd {
	p.t.Helper()
	cmd := exec.Command(filepath.Join(p.Bin, "lus"), "compose", "-p", p.name, "up", "-d")
	cmd.Dir, cmd.Env = p.dir, p.Env()
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return cmd
}

// TestAnUpThatIsCutShortGoesOn: the client is interrupted or killed, and then the
// daemon is killed, at any moment of an up and of a replacement. The next up makes
// of it what the file says, and after a down nothing is left.
func TestAnUpThatIsCutShortGoesOn(t *testing.T) {
	s := stack.Start(t)
	p := compose(t, s, map[string]string{"compose.yaml": ten(0)})
	p.ok("up", "-d")
	p.ok("down", "-v")
	before := s.Still()
	for round := range 6 {
		if round == 0 || round == 3 {
			p.ok("down", "-v") // from nothing; the other rounds replace
		}
		p.write("compose.yaml", ten(round))
		cmd := p.begin()
		time.Sleep(rand.N(300 * time.Millisecond)) // any moment is the point
		switch round % 3 {
		case 0:
			_ = cmd.Process.Signal(syscall.SIGINT)
		case 1:
			_ = cmd.Process.Kill()
		case 2:
			s.Kill()
		}
		_ = cmd.Wait()
		if round%3 == 2 {
			s.StartDaemon(t)
		}
		p.converged(round)
	}
	if list := s.OK(t, "deploy", "ls", p.name); strings.Contains(list, "under way") {
		t.Errorf("a deployment never ends:\n%s", list)
	}
	p.ok("down", "-v", "-t", "0")
	s.OK(t, "volume", "prune", "-a", "-f")
	s.Unchanged(t, before)
}

package scenarios

import (
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// The demo is what a newcomer runs first: it must work, twice, and go again.
func TestTheDemoTwiceAndStopped(t *testing.T) {
	t.Parallel()
	s := shared(t)
	port := stack.Port(t)
	demo := func(args ...string) stack.Result {
		defer stack.BuildAlone()()
		line := append([]string{"TODO_PORT=" + port, filepath.Join(s.Repo, "scripts/demo")}, args...)
		return s.Do(nil, "env", line...)
	}
	t.Cleanup(func() { demo("--stop", "--volumes").Want(t, 0) })

	demo().Want(t, 0)
	ids := s.OK(t, "ps", "-q", "--filter", "label=com.docker.compose.project=todo")
	if n := len(strings.Fields(ids)); n != 3 {
		t.Errorf("%d containers run, want 3", n)
	}
	stack.Says(t, demo().Want(t, 0), "todos written and read back over HTTP", "http://127.0.0.1:"+port)
	if again := s.OK(t, "ps", "-q", "--filter", "label=com.docker.compose.project=todo"); again != ids {
		t.Errorf("the second demo replaced containers:\n%s\n%s", ids, again)
	}
	demo("--stop").Want(t, 0)
	demo().Want(t, 0)
	stack.Says(t, stack.Page(t, port, "/api/todos"), "read the Dockerfiles")
}

// The demo's images go to a registry of Lus, and a second Lus on this machine
// runs the stack from there and nothing else.
func TestTheDemoByWayOfTheRegistry(t *testing.T) {
	t.Parallel()
	s := shared(t)
	other := stack.Idle(t)
	other.StartDaemon(t)
	host, port := enabled(t, other), stack.Port(t)
	dir := filepath.Join(s.Repo, "examples/todo")
	compose := func(by *stack.Stack, args ...string) stack.Result {
		line := append([]string{"REGISTRY=" + host, "VERSION=1", "TODO_PORT=" + port, filepath.Join(by.Bin, "lus"), "compose",
			"-f", filepath.Join(dir, "compose.yaml"), "-f", filepath.Join(dir, "compose.registry.yaml")}, args...)
		return by.Do(nil, "env", line...)
	}
	s.Do(nil, "env", "LUS="+filepath.Join(s.Bin, "lus"), filepath.Join(s.Repo, "scripts/base-images")).Want(t, 0)
	done := stack.BuildAlone()
	built := compose(s, "build")
	done()
	built.Want(t, 0)
	t.Cleanup(func() {
		for _, name := range []string{"web", "api", "db"} {
			s.Lus("rmi", host+"/todo/"+name+":1")
		}
	})
	compose(s, "push").Want(t, 0)
	stack.Says(t, other.OK(t, "registry", "ls"), "todo/web", "todo/api", "todo/db")

	t.Cleanup(func() { compose(other, "down", "--volumes").Want(t, 0) })
	compose(other, "pull").Want(t, 0)
	compose(other, "up", "-d", "--no-build", "--wait").Want(t, 0)
	stack.Says(t, stack.Page(t, port, "/"), "<title>Todo</title>")
	stack.Says(t, stack.Page(t, port, "/api/todos"), "[")
}

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

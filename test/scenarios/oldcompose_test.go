package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// oldTodo is examples/todo as docker-compose 1.29 can read it: without two keys
// that came later. Two of its images are those that other tests use too, under
// names that the demo, which is the project todo, does not give.
func oldTodo(t *testing.T, s *stack.Stack) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Repo, "examples/todo/compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "name:") && !strings.Contains(line, "start_interval:") {
			kept = append(kept, line)
		}
	}
	return strings.NewReplacer(
		"build: ./api", "image: "+s.BuildOnce(t, "tasks-api", "examples/todo/api"),
		"build: ./db", "image: "+mysql(t, s),
		"build: ./web", "build: ./web\n    links: [\"api:backend\"]",
		"interval: 10s", "interval: 500ms", "retries: 3", "retries: 10000", "retries: 5", "retries: 10000",
	).Replace(strings.Join(kept, ""))
}

// docker-compose of the first generation, in Python, as Debian 12 has it.
func TestAnOldDockerComposeRunsTheTodoStack(t *testing.T) {
	t.Parallel()
	s := shared(t)
	program := need.Program(t, "docker-compose", "docker-compose")
	dir := stack.Folder(t, map[string]string{
		"docker-compose.yml": oldTodo(t, s),
		"web/Dockerfile":     "FROM busybox\nCOPY . /www\nCMD [\"httpd\", \"-f\", \"-h\", \"/www\"]\n",
		"web/index.html":     "the page", "web/health": "ok",
	})
	port, name := stack.Port(t), strings.ReplaceAll(named(t, s, "old"), "-", "")
	run := func(args ...string) stack.Result {
		return s.DoIn(dir, nil, "env", append([]string{"COMPOSE_HTTP_TIMEOUT=600", "TODO_PORT=" + port, program, "--no-ansi", "-p", name}, args...)...)
	}
	do := func(args ...string) string {
		t.Helper()
		return run(args...).Want(t, 0)
	}
	t.Cleanup(func() {
		run("down", "-v", "-t", "0")
		s.Lus("rmi", "-f", name+"_web")
	})
	do("up", "-d")
	stack.Says(t, stack.Page(t, port, "/"), "the page")
	stack.Says(t, do("ps"), name+"_web_1", name+"_api_1", "Up (healthy)", port+"->80/tcp")
	stack.Eventually(t, "a request in the log", func() bool { return strings.Contains(do("logs", "api"), "GET /health") })
	stack.Says(t, do("logs", "api"), "api_1")
	stack.Says(t, do("exec", "-T", "api", "sh", "-c", "getent hosts db"), "db")
	stack.Says(t, do("port", "web", "80"), port)
	stack.Says(t, do("top", "web"), "httpd")
	stack.Says(t, do("images"), name+"_web")
	again := run("up", "-d")
	again.Want(t, 0)
	stack.Says(t, again.All(), name+"_web_1 is up-to-date")
	stack.Says(t, s.OK(t, "compose", "ls"), name)
	stack.Says(t, do("exec", "-T", "web", "nslookup", "backend"), "Name:\tbackend")
	stack.Says(t, do("run", "--rm", "-T", "web", "nslookup", name+"_web_1"), name+"_web_1")
	do("stop", "-t", "1", "web")
	do("start", "web")
	stack.Says(t, stack.Page(t, port, "/"), "the page")
	do("down")
	if left := s.OK(t, "ps", "-aq", "--filter", "label=com.docker.compose.project="+name); left != "" {
		t.Errorf("down left %s", left)
	}
	stack.Says(t, s.OK(t, "volume", "ls"), name+"_todos")
}

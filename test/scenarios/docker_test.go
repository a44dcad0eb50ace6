package scenarios

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// dockerClient is the unmodified docker client: the one of this machine, or the
// one that scripts/need took from Debian's package.
func dockerClient(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("docker"); err == nil {
		return path
	}
	return debianClient(t)
}

// debianClient is the client of Debian's docker.io, which is years older than
// today's.
func debianClient(t *testing.T) string {
	t.Helper()
	path := filepath.Join(need.Tools(t), "docker")
	if _, err := os.Stat(path); err != nil {
		need.Unmet(t, "the docker client: scripts/need test takes it from Debian's docker.io")
	}
	return path
}

func TestTheDockerClientUnmodified(t *testing.T) {
	t.Parallel()
	usesDocker(t, dockerClient)
}

func TestAnOldDockerClientUnmodified(t *testing.T) {
	t.Parallel()
	usesDocker(t, debianClient)
}

// usesDocker does with a docker client what people do every day.
func usesDocker(t *testing.T, find func(*testing.T) string) {
	s := shared(t)
	client := find(t)
	docker := func(args ...string) string {
		t.Helper()
		return s.Do(nil, client, args...).Want(t, 0)
	}
	name, port, v := named(t, s, "docker"), stack.Port(t), volume(t, s)
	net1 := network(t, s)

	stack.Says(t, docker("version"), "Server:", "1.51")
	facts := s.Do(nil, client, "info")
	stack.Says(t, facts.Want(t, 0), "Storage Driver: overlay2", s.Root)
	if strings.Contains(facts.Err, "IPv4 forwarding is disabled") {
		t.Error("info warns of what the engine sees to itself: " + facts.Err)
	}
	id := docker("run", "-d", "--name", name, "--network", net1, "-p", port+":80", "-v", v+":/data", "-e", "A=b", "--label", "l="+name,
		stack.Busybox, "sh", "-c", "echo started; httpd -f -h /etc")
	stack.Says(t, stack.Page(t, port, "/passwd"), "root:")
	stack.Says(t, docker("ps", "--filter", "label=l="+name), name, "busybox", port+"->80/tcp")
	stack.Eventually(t, "its line in the log", func() bool { return strings.Contains(docker("logs", name), "started") })
	stack.Says(t, docker("port", name), "80/tcp", port)
	stack.Says(t, docker("top", name), "httpd")
	if got := docker("exec", name, "sh", "-c", "echo $A"); got != "b" {
		t.Errorf("exec gave %q", got)
	}
	s.Do(nil, client, "exec", name, "sh", "-c", "exit 6").Want(t, 6)
	if got := s.Do(strings.NewReader("typed\n"), client, "exec", "-i", name, "cat").Want(t, 0); got != "typed" {
		t.Errorf("exec -i gave %q", got)
	}
	if got := docker("inspect", "-f", "{{.Id}} {{.State.Running}} {{.Config.Image}}", name); got != id+" true busybox" {
		t.Errorf("inspect gave %q", got)
	}
	stack.Says(t, docker("network", "inspect", net1), name)
	second := network(t, s)
	docker("network", "connect", second, name)
	stack.Says(t, docker("network", "inspect", second), name)
	docker("network", "disconnect", second, name)
	stack.Says(t, docker("volume", "ls"), v)
	stack.Says(t, docker("volume", "inspect", v), s.Root)
	stack.Says(t, docker("images"), "busybox")
	docker("stop", "-t", "1", name)
	stack.Says(t, docker("ps", "-a", "--filter", "name="+name), "Exited (")
	docker("start", name)
	docker("restart", "-t", "1", name)
	docker("kill", name)
	docker("rm", "-f", name)
	s.Do(nil, client, "inspect", name).Want(t, 1)

	usesImages(t, s, client)
	if got := docker("run", "--rm", stack.Busybox, "echo", "hi"); got != "hi" {
		t.Errorf("run gave %q", got)
	}
	s.Do(nil, client, "run", "--rm", stack.Busybox, "sh", "-c", "exit 3").Want(t, 3)
	s.Do(nil, client, "run", "--rm", stack.Busybox, "no-such-program").Want(t, 127)
	s.Do(nil, client, "run", "--rm", stack.Busybox, "/etc/passwd").Want(t, 126)
	s.Do(nil, client, "run", "--rm", "--network", "no-such", stack.Busybox, "true").Want(t, 125)
	missing := s.Do(nil, client, "run", "--rm", stack.Registry(t)+"/no/such", "true")
	missing.Want(t, 125)
	stack.Says(t, missing.Err, "Unable to find image")
}

// usesImages builds with the builder that every client has, and pulls.
func usesImages(t *testing.T, s *stack.Stack, client string) {
	t.Helper()
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nARG WORD=none\nRUN echo $WORD >/word\nCMD [\"cat\", \"/word\"]\n"})
	tag := named(t, s, "built")
	t.Cleanup(func() { s.Lus("rmi", "-f", tag) })
	build := s.DoIn(dir, nil, "env", "DOCKER_BUILDKIT=0", client, "build", "--build-arg", "WORD=built", "-t", tag, ".")
	build.Want(t, 0)
	stack.Says(t, build.All(), "Successfully tagged "+tag)
	if got := s.Do(nil, client, "run", "--rm", tag).Want(t, 0); got != "built" {
		t.Errorf("the image built prints %q", got)
	}
	ref := stack.Registry(t) + "/hello:1"
	stack.PushBusybox(t, ref, "echo", "pulled")
	stack.Says(t, s.Do(nil, client, "pull", ref).Want(t, 0), "Downloaded newer image for "+ref)
	if got := s.Do(nil, client, "run", "--rm", ref).Want(t, 0); got != "pulled" {
		t.Errorf("the image pulled prints %q", got)
	}
	s.Do(nil, client, "rmi", ref).Want(t, 0)
}

func TestK13LusUnderDockersName(t *testing.T) {
	t.Parallel()
	s := shared(t)
	docker := filepath.Join(t.TempDir(), "docker")
	if err := os.Symlink(filepath.Join(s.Bin, "lus"), docker); err != nil {
		t.Fatal(err)
	}
	name := named(t, s, "k13")
	s.Do(nil, docker, "run", "-d", "--name", name, stack.Busybox, "sleep", "300").Want(t, 0)
	stack.Says(t, s.Do(nil, docker, "container", "ls").Want(t, 0), name)
	stack.Says(t, s.Do(nil, docker, "compose", "version").Want(t, 0), "version")
	stack.Says(t, s.Do(nil, docker, "image", "ls").Want(t, 0), "busybox")
	s.Do(nil, docker, "container", "rm", "-f", name).Want(t, 0)
	s.Do(nil, docker, "container", "inspect", name).Want(t, 1)

	// It asks the daemon that docker's users name, under that name only.
	elsewhere := []string{"-u", "LUS_HOST", "DOCKER_HOST=tcp://127.0.0.1:1"}
	refused := s.Do(nil, "env", append(elsewhere, docker, "ps")...)
	refused.Want(t, 1)
	stack.Says(t, refused.Err, "127.0.0.1:1")
	s.Do(nil, "env", append(elsewhere, filepath.Join(s.Bin, "lus"), "ps")...).Want(t, 0)

	// So it is with the context that they chose.
	context := []string{"-u", "LUS_HOST", "-u", "DOCKER_HOST", "DOCKER_CONTEXT=other"}
	s.Do(nil, "env", append(context, docker, "ps")...).Want(t, 1)
	s.Do(nil, "env", append(context, filepath.Join(s.Bin, "lus"), "ps")...).Want(t, 0)
}

func TestDockersLoginIsTriedAtTheRegistry(t *testing.T) {
	t.Parallel()
	s := shared(t)
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "right" {
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer registry.Close()
	host := strings.TrimPrefix(registry.URL, "http://")
	login := func(password string) stack.Result {
		return s.Do(strings.NewReader(password), dockerClient(t), "--config", t.TempDir(), "login", "-u", "ada", "--password-stdin", host)
	}
	if got := login("right").Want(t, 0); !strings.Contains(got, "Login Succeeded") {
		t.Errorf("the right password: %q", got)
	}
	wrong := login("wrong")
	wrong.Want(t, 1)
	stack.Says(t, wrong.Err, "unauthorized")
}

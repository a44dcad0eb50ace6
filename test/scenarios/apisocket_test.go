package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// A container with --use-api-socket speaks to the daemon as Docker's clients do,
// with the credentials of who made it.
func TestAContainerGetsTheDaemonsSocket(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const secret = "YW5uOnNlc2FtZQ=="
	folder := stack.Folder(t, map[string]string{"config.json": `{"auths": {"registry.example": {"auth": "` + secret + `"}}}`})
	as := func(args ...string) stack.Result {
		return s.Do(nil, "env", append([]string{"DOCKER_CONFIG=" + folder, filepath.Join(s.Bin, "lus")}, args...)...)
	}
	name := named(t, s, "asks")
	asks := []string{"run", "--name", name, "--use-api-socket", "-v", newDockerClient(t) + ":/docker:ro", stack.Busybox,
		"sh", "-c", "cat $DOCKER_CONFIG/config.json; stat -c ' %a %u' $DOCKER_CONFIG/config.json; /docker ps -a --format '{{.Names}}'"}
	stack.Says(t, as(asks...).Want(t, 0), `{"auths":{"registry.example":{"auth":"`+secret+`"}}} 600 0`, name)
	if got := s.OK(t, "inspect", "-f", "{{range .Mounts}}{{.Destination}} {{end}}", name); !strings.Contains(got, "/var/run/docker.sock") {
		t.Errorf("mounted is %s", got)
	}

	// They are the container's user's, and nobody else's there.
	look := "cat /run/secrets/docker/config.json; stat -c ' %a %u' /run/secrets/docker/config.json"
	stack.Says(t, as("run", "--rm", "--use-api-socket", "--user", "1000", stack.Busybox, "sh", "-c", look).Want(t, 0), secret, " 600 1000")

	// Who has others, or none, gets the socket alone.
	alone := "echo of ${DOCKER_CONFIG-nobody}; test -S /var/run/docker.sock && ls /run/secrets"
	own := as("run", "--rm", "--use-api-socket", "-e", "DOCKER_CONFIG=/mine", stack.Busybox, "sh", "-c", alone)
	stack.Says(t, own.All(), "of /mine", "/run/secrets: No such file")
	stack.Says(t, s.Lus("run", "--rm", "--use-api-socket", stack.Busybox, "sh", "-c", alone).All(), "of nobody", "/run/secrets: No such file")
}

// Nothing is left of a container that cannot have what it was to get.
func TestASocketThatCannotBeGiven(t *testing.T) {
	t.Parallel()
	s := shared(t)
	folder := stack.Folder(t, map[string]string{"config.json": `{"auths": {"registry.example": {"auth": "YW5uOnNlc2FtZQ=="}}}`})
	name, id := named(t, s, "readonly"), filepath.Join(t.TempDir(), "id")
	args := []string{"DOCKER_CONFIG=" + folder, filepath.Join(s.Bin, "lus"), "create", "--name", name, "--cidfile", id, "--use-api-socket", "--read-only"}
	refused := s.Do(nil, "env", append(args, stack.Busybox)...)
	refused.Want(t, 1)
	stack.Says(t, refused.Err, "marked read-only", "-e DOCKER_CONFIG=...")
	stack.Says(t, s.Fail(t, 1, "inspect", name), "No such object")
	if _, err := os.Stat(id); err == nil {
		t.Error("its id was written")
	}
	s.Do(nil, "env", append(args, "-e", "DOCKER_CONFIG=/mine", stack.Busybox)...).Want(t, 0)

	stack.Says(t, s.Fail(t, 1, "-H", "tcp://127.0.0.1:1", "create", "--use-api-socket", stack.Busybox), "not reached by a socket of this host")
}

package scenarios

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lus/test/need"
	"lus/test/stack"
)

func TestBuildWithSecretsAndContexts(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image := tagged(t, s, "more")
	const secret = "hush-Zq8wRt4"
	dir := stack.Folder(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=pass wc -c < /run/secrets/pass > /length\n" +
			"RUN --mount=type=secret,id=plain,env=P echo \"${#P}\" >> /length; ulimit -n >> /length\n" +
			"COPY --from=side f /f\nCOPY --from=img /bin/busybox /b\nRUN grep gw /etc/hosts | wc -l >> /length\nCMD [\"cat\", \"/length\", \"/f\"]\n",
		"side/f": "from the side", "pass": secret,
	})
	r := s.Do(nil, "env", "HUSH="+secret, filepath.Join(s.Bin, "lus"), "build", "-t", image, "--secret", "id=pass,src="+filepath.Join(dir, "pass"), "--secret", "id=plain,env=HUSH",
		"--build-context", "side="+filepath.Join(dir, "side"), "--build-context", "img=docker-image://busybox",
		"--ulimit", "nofile=99:100", "--add-host", "gw:host-gateway", dir)
	r.Want(t, 0)
	if got := s.OK(t, "run", "--rm", image); got != "12\n12\n99\n1\nfrom the side" {
		t.Errorf("the image says %q", got)
	}
	for what, text := range map[string]string{
		"the output": r.All(), "the history": s.OK(t, "history", "--no-trunc", image), "the config": s.OK(t, "inspect", image), "the daemon's log": s.DaemonLog(1000),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%s has the secret in it", what)
		}
	}
	stack.Says(t, s.Fail(t, 1, "build", "--secret", "id=x,src=/no/such", dir), "/no/such does not exist")
	stack.Says(t, s.Fail(t, 1, "build", "--secret", "src=/etc/passwd", dir), "id=NAME")
	stack.Says(t, s.Fail(t, 1, "build", "--build-context", "x=/no/such", dir), "neither a folder")
}

func TestBuildAsksTheUsersAgent(t *testing.T) {
	t.Parallel()
	s := shared(t)
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan struct{})
	go func() { // ends with the listener
		if c, err := l.Accept(); err == nil {
			close(asked)
			_ = c.Close()
		}
	}()
	s.Lus("build", "--ssh", "default="+socket, stack.Folder(t, map[string]string{
		"Dockerfile": "FROM debian:bookworm-slim\nRUN --mount=type=ssh perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new($ENV{SSH_AUTH_SOCK}) or die; print $s \"\\0\\0\\0\\1\\x0b\"'\n",
	})).Want(t, 0)
	select {
	case <-asked:
	case <-time.After(30 * time.Second):
		t.Error("the agent was not asked")
	}
}

func TestBuildOutputsAndCaches(t *testing.T) {
	t.Parallel()
	s := stack.Start(t) // its cache is pruned below
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /a\n"})
	out := func(name string) string { return filepath.Join(dir, name) }
	s.Lus("build", "-o", out("local"), "-o", "type=docker,dest="+out("tar"), dir).Want(t, 0)
	one, err := os.ReadFile(out("local/a"))
	if err != nil {
		t.Fatal(err)
	}
	if names := entries(t, out("tar")); !slices.Contains(names, "manifest.json") {
		t.Errorf("the docker archive has %q", names)
	}
	if list := s.OK(t, "images", "-aq"); strings.Count(list, "\n") > 0 {
		t.Errorf("an image was made that nobody asked for:\n%s", list)
	}
	remote := stack.Registry(t) + "/cache"
	s.Lus("build", "--cache-to", "type=local,dest="+out("cache"), "--cache-to", "type=registry,ref="+remote, "-t", "one", dir).Want(t, 0)
	for _, from := range []string{"type=local,src=" + out("cache"), remote} {
		s.OK(t, "rmi", "one")
		buildx(t, s)("prune", "-a", "-f").Want(t, 0)
		s.Lus("build", "--cache-from", from, "-t", "one", dir).Want(t, 0)
		if got := s.OK(t, "run", "--rm", "one", "cat", "/a"); got != strings.TrimSpace(string(one)) {
			t.Errorf("%s: the step ran again: %s, was %s", from, got, one)
		}
	}
	ref := strings.TrimSuffix(remote, "cache") + "app:1"
	s.Lus("build", "-o", "type=registry", "-t", ref, dir).Want(t, 0)
	s.OK(t, "rmi", ref)
	s.OK(t, "pull", ref)
	stack.Says(t, s.Fail(t, 1, "build", "-o", "type=nonsense,dest=/x", dir), "nonsense")
	if text := s.OK(t, "build", "-q", "-o", "-", dir); !strings.Contains(text, "ustar") {
		t.Error("a result on standard output is no tar")
	}
}

// A cache that goes with the image is in one that is built here and pushed later,
// as by those who push what docker build made.
func TestACacheGoesWithAnImageThatIsPushedLater(t *testing.T) {
	t.Parallel()
	s := stack.Start(t) // its cache is pruned below
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /a\nCOPY Dockerfile /\n"})
	registry, docker := stack.Registry(t), buildx(t, s)
	for name, build := range map[string]func(ref string) stack.Result{
		"argument": func(ref string) stack.Result {
			return s.Lus("build", "--no-cache", "--build-arg", "BUILDKIT_INLINE_CACHE=1", "-t", ref, dir)
		},
		"option": func(ref string) stack.Result {
			return s.Lus("build", "--no-cache", "--cache-to", "type=inline", "-t", ref, dir)
		},
		"pushed": func(ref string) stack.Result {
			return s.Lus("build", "--no-cache", "--push", "--cache-to", "type=inline", "-t", ref, dir)
		},
		"buildx": func(ref string) stack.Result {
			return docker("build", "--no-cache", "--build-arg", "BUILDKIT_INLINE_CACHE=1", "-t", ref, dir)
		},
	} {
		ref := registry + "/" + name + ":1"
		build(ref).Want(t, 0)
		want := s.OK(t, "run", "--rm", ref, "cat", "/a")
		s.OK(t, "push", ref)
		s.OK(t, "rmi", ref)
		docker("prune", "-a", "-f").Want(t, 0)
		s.OK(t, "build", "--cache-from", ref, "-t", "again", dir)
		if got := s.OK(t, "run", "--rm", "again", "cat", "/a"); got != want {
			t.Errorf("%s: the step ran again: %s, was %s", name, got, want)
		}
		s.OK(t, "rmi", "again")
	}
}

// The client that brings BuildKit's client along, without a plugin: docker
// 18.09 to 22, as Debian 12 has it.
func TestDebiansDockerBuilds(t *testing.T) {
	t.Parallel()
	s := shared(t)
	client := filepath.Join(need.Tools(t), "docker")
	if _, err := os.Stat(client); err != nil {
		need.Unmet(t, "Debian's docker client: scripts/need test takes it from docker.io")
	}
	image := tagged(t, s, "debians")
	dir := stack.Folder(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=k wc -c < /run/secrets/k > /n\nCMD [\"cat\", \"/n\"]\n", "k": "four",
	})
	id := filepath.Join(dir, "id")
	r := s.Do(nil, client, "build", "--progress", "plain", "-t", image, "--secret", "id=k,src="+filepath.Join(dir, "k"), "--iidfile", id, dir)
	r.Want(t, 0)
	stack.Says(t, r.Err, "RUN --mount=type=secret")
	if got := s.OK(t, "run", "--rm", image); got != "4" {
		t.Errorf("the image says %q", got)
	}
	if got, err := os.ReadFile(id); err != nil || s.OK(t, "inspect", "-f", "{{.Id}}", image) != string(got) {
		t.Errorf("the id is %s (%v)", got, err)
	}
	old := s.Do(nil, "env", "DOCKER_BUILDKIT=0", client, "build", "-t", image, stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"}))
	stack.Says(t, old.Want(t, 0), "Successfully built ", "Successfully tagged "+image+":latest")
	bad := s.Do(nil, client, "build", stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN exit 3\n"}))
	bad.Want(t, 1)
	stack.Says(t, bad.Err, "exit code: 3")
}

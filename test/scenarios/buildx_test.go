package scenarios

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// buildx runs `docker buildx` as Docker ships it, against a stack: Docker's
// own client with the plugin by which it builds.
func buildx(t *testing.T, s *stack.Stack) func(args ...string) stack.Result {
	t.Helper()
	docker, config := dockerClient(t), t.TempDir()
	if err := os.Mkdir(filepath.Join(config, "cli-plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(need.Buildx(t), filepath.Join(config, "cli-plugins/docker-buildx")); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) stack.Result {
		return s.Do(nil, docker, append([]string{"--config", config, "buildx"}, args...)...)
	}
}

// tagged is a name for an image that goes with the test.
func tagged(t *testing.T, s *stack.Stack, word string) string {
	t.Helper()
	name := named(t, s, word)
	t.Cleanup(func() { s.Lus("rmi", "-f", name) })
	return name
}

func TestDockersOwnBuilder(t *testing.T) {
	t.Parallel()
	s := shared(t)
	docker := buildx(t, s)
	image := tagged(t, s, "buildx")
	dir := stack.Folder(t, map[string]string{
		"Dockerfile": "FROM busybox\nARG V\nRUN --mount=type=secret,id=pass wc -c < /run/secrets/pass > /length\n" +
			"COPY --from=side f /f\nLABEL v=$V\nCMD [\"cat\", \"/length\", \"/f\"]\n",
		"side/f": "from the side", "pass": "not to be found",
	})
	args := []string{"build", "--progress", "plain", "-t", image, "--build-arg", "V=7", "--build-context", "side=" + filepath.Join(dir, "side"),
		"--secret", "id=pass,src=" + filepath.Join(dir, "pass"), "--iidfile", filepath.Join(dir, "id"), dir}
	first := docker(args...)
	first.Want(t, 0)
	stack.Says(t, first.Err, "RUN --mount=type=secret", "naming to docker.io/library/"+image)
	if got := s.OK(t, "run", "--rm", image); got != "15\nfrom the side" {
		t.Errorf("the image, run at once, says %q", got)
	}
	id, err := os.ReadFile(filepath.Join(dir, "id"))
	if err != nil || s.OK(t, "inspect", "-f", "{{.Id}} {{.Config.Labels.v}}", image) != string(id)+" 7" {
		t.Errorf("the image is not %s (%v)", id, err)
	}
	again := docker(args...)
	again.Want(t, 0)
	for _, step := range []string{"RUN --mount", "COPY --from=side"} {
		if !regexp.MustCompile(regexp.QuoteMeta(step) + `[^\n]*\n#\d+ CACHED`).MatchString(again.Err) {
			t.Errorf("%s is not CACHED the second time:\n%s", step, again.Err)
		}
	}
	stack.Says(t, docker("ls").Want(t, 0), "running", "v0.")
	stack.Says(t, docker("history", "ls").Want(t, 0), "Completed")
	stack.Says(t, docker("du").Want(t, 0), "Total:")
}

func TestASecretOfDockersBuilderIsNowhere(t *testing.T) {
	t.Parallel()
	s := shared(t)
	docker := buildx(t, s)
	image := tagged(t, s, "secret")
	const secret = "hush-Xq7vBn2"
	dir := stack.Folder(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=k,env=K test \"$K\" = \"$(cat /run/secrets/k 2>/dev/null || echo $K)\" && echo seen > /seen\n",
		"k":          secret,
	})
	out := filepath.Join(dir, "image.tar")
	r := docker("build", "--progress", "plain", "-t", image, "--secret", "id=k,src="+filepath.Join(dir, "k"),
		"-o", "type=image", "-o", "type=docker,dest="+out, dir)
	r.Want(t, 0)
	saved, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"the output": r.All(), "the history": s.OK(t, "history", "--no-trunc", image), "the config": s.OK(t, "inspect", image),
		"the image": string(saved), "the daemon's log": s.DaemonLog(1000),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%s has the secret in it", what)
		}
	}
}

func TestOutputsOfDockersBuilder(t *testing.T) {
	t.Parallel()
	s := shared(t)
	docker := buildx(t, s)
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY a /in/a\n", "a": "A"})
	to := func(name string) string { return filepath.Join(dir, name) }
	docker("build", "-o", "type=local,dest="+to("local"), dir).Want(t, 0)
	if got, err := os.ReadFile(to("local/in/a")); string(got) != "A" {
		t.Errorf("local: %q, %v", got, err)
	}
	for kind, want := range map[string]string{"tar": "in/a", "oci": "oci-layout", "docker": "manifest.json"} {
		docker("build", "-o", "type="+kind+",dest="+to(kind), dir).Want(t, 0)
		if names := entries(t, to(kind)); !slices.Contains(names, want) {
			t.Errorf("%s: %q lacks %s", kind, names, want)
		}
	}
	image := tagged(t, s, "load")
	docker("build", "--load", "-t", image, dir).Want(t, 0)
	s.OK(t, "image", "inspect", image)

	ref := stack.Registry(t) + "/pushed:1"
	t.Cleanup(func() { s.Lus("rmi", "-f", ref) })
	docker("build", "--push", "-t", ref, dir).Want(t, 0)
	s.OK(t, "rmi", ref)
	s.OK(t, "pull", ref)
}

// entries are the names in a tar.
func entries(t *testing.T, file string) (names []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		names = append(names, strings.TrimPrefix(h.Name, "./"))
	}
}

func TestCachesOfDockersBuilder(t *testing.T) {
	t.Parallel()
	s := stack.Start(t) // its cache is pruned below
	docker := buildx(t, s)
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /a\n"})
	local, remote := filepath.Join(dir, "cache"), "type=registry,ref="+stack.Registry(t)+"/cache"
	for what, c := range map[string]struct{ to, from string }{
		"local":    {"type=local,dest=" + local, "type=local,src=" + local},
		"registry": {remote, remote},
	} {
		docker("build", "--no-cache", "--cache-to", c.to, "-t", "one", dir).Want(t, 0)
		one := s.OK(t, "run", "--rm", "one", "cat", "/a")
		s.OK(t, "rmi", "one")
		docker("prune", "-a", "-f").Want(t, 0)
		r := docker("build", "--progress", "plain", "--cache-from", c.from, "-t", "two", dir)
		r.Want(t, 0)
		stack.Says(t, r.Err, "importing cache manifest")
		if got := s.OK(t, "run", "--rm", "two", "cat", "/a"); got != one {
			t.Errorf("%s: the step ran again: %s, was %s\n%s", what, got, one, r.Err)
		}
	}
}

func TestFaultsInDockersBuilder(t *testing.T) {
	t.Parallel()
	s := shared(t)
	docker := buildx(t, s)
	for what, c := range map[string]struct {
		dockerfile string
		args, says []string
	}{
		"a step fails":        {"FROM busybox\nRUN echo oops; exit 3\n", nil, []string{"Dockerfile:2", ">>> RUN echo oops", "oops", "exit code: 3"}},
		"a typing error":      {"FROM busybox\nRAN true\n", nil, []string{"Dockerfile:2", "unknown instruction: RAN", "did you mean RUN"}},
		"privileges":          {"FROM busybox\nRUN --security=insecure true\n", nil, []string{"security.insecure is not allowed"}},
		"attestations to us":  {"FROM busybox\n", []string{"--provenance=mode=max"}, []string{"holds no attestations", "type=oci"}},
		"several platforms":   {"FROM scratch\nCOPY Dockerfile /\n", []string{"-t", "two-platforms", "--platform", "linux/amd64,linux/arm64"}, []string{"several platforms", "one by one"}},
		"an image name's end": {"FROM busybox\n", []string{"-t", "a@sha256:" + strings.Repeat("a", 64)}, []string{"cannot be built under a digest"}},
	} {
		dir := stack.Folder(t, map[string]string{"Dockerfile": c.dockerfile})
		r := docker(append(append([]string{"build", "--progress", "plain"}, c.args...), dir)...)
		if r.Code == 0 {
			t.Errorf("%s: it was built", what)
		}
		stack.Says(t, r.Err, c.says...)
	}
	r := docker("build", "--call", "outline,format=json", stack.Folder(t, map[string]string{"Dockerfile": "ARG V=1\nFROM busybox AS b\nARG V\n"}))
	if r.Want(t, 0); !json.Valid([]byte(r.Out)) || !strings.Contains(r.Out, `"V"`) {
		t.Errorf("the outline is %s", r.Out)
	}
}

package scenarios

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// The builder that clients use who know no BuildKit: what it prints is read by
// programs.
func TestS51TheClassicBuilder(t *testing.T) {
	t.Parallel()
	buildsClassically(t, dockerClient)
}

func TestS51TheClassicBuilderOfAnOldClient(t *testing.T) {
	t.Parallel()
	buildsClassically(t, debianClient)
}

func buildsClassically(t *testing.T, find func(*testing.T) string) {
	s := shared(t)
	client, tag := find(t), tagged(t, s, "classic")
	build := func(dir string, args ...string) stack.Result {
		return s.Do(nil, "env", append([]string{"DOCKER_BUILDKIT=0", client, "build"}, append(args, dir)...)...)
	}
	dir := stack.Folder(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN echo made by " + tag + " | tee /made\nCOPY f /f\nCMD [\"cat\", \"/made\"]\n", "f": "f",
	})
	out := build(dir, "-t", tag, "--build-arg", "NOBODY=1").Want(t, 0)
	id := strings.TrimPrefix(s.OK(t, "inspect", "-f", "{{.Id}}", tag), "sha256:")[:12]
	const hex = `[0-9a-f]{12}`
	want := strings.Join([]string{
		`Step 1/4 : FROM busybox`, ` ---> ` + hex,
		`Step 2/4 : RUN echo made by ` + tag + ` \| tee /made`, ` ---> Running in ` + hex, `made by ` + tag,
		` ---> Removed intermediate container ` + hex, ` ---> ` + hex,
		`Step 3/4 : COPY f /f`, ` ---> ` + hex,
		`Step 4/4 : CMD \["cat", "/made"\]`, ` ---> Running in ` + hex, ` ---> Removed intermediate container ` + hex, ` ---> ` + id,
		`\[Warning\] One or more build-args \[NOBODY\] were not consumed`,
		`Successfully built ` + id, `Successfully tagged ` + tag + `:latest`,
	}, "\n") + "$"
	if !regexp.MustCompile(want).MatchString(out) {
		t.Errorf("the build said\n%s\nwant\n%s", out, want)
	}
	again := build(dir, "-t", tag).Want(t, 0)
	if n := strings.Count(again, "\n ---> Using cache\n"); n != 3 || strings.Contains(again, "Running in") {
		t.Errorf("the second build used the cache for %d of 3 steps:\n%s", n, again)
	}
	stack.Says(t, again, "Successfully built "+id)
	if got := build(dir, "-q", "--iidfile", filepath.Join(dir, "id")).Want(t, 0); got != s.OK(t, "inspect", "-f", "{{.Id}}", tag) {
		t.Errorf("a quiet build printed %q", got)
	}

	bad := build(stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo seen; exit 3\n"}))
	bad.Want(t, 3)
	stack.Says(t, bad.All(), "Step 2/2 : RUN echo seen; exit 3", "\nseen\n", "The command '/bin/sh -c echo seen; exit 3' returned a non-zero code: 3")
	quiet := build(stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo seen; exit 3\n"}), "-q")
	quiet.Want(t, 3)
	stack.Says(t, quiet.All(), "seen", "returned a non-zero code: 3")
	missing := build(stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY nosuch /\n"}))
	missing.Want(t, 1)
	stack.Says(t, missing.All(), "COPY failed: file not found in build context or excluded by .dockerignore: stat nosuch: file does not exist")
	typo := build(stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nFORM x\n"}))
	typo.Want(t, 1)
	stack.Says(t, typo.All(), "Error response from daemon: dockerfile parse error on line 2: unknown instruction: FORM")
}

// docker-py, which docker-compose of the first generation stands on, finds the
// image by the words "Successfully built".
func TestS51DockerPyFindsWhatItBuilt(t *testing.T) {
	t.Parallel()
	s := shared(t)
	program := need.Program(t, "docker-compose", "docker-compose")
	dir := stack.Folder(t, map[string]string{
		"docker-compose.yml": "version: '3'\nservices: {web: {build: .}}\n", "Dockerfile": "FROM busybox\nRUN echo for py > /py\n",
	})
	name := strings.ReplaceAll(named(t, s, "py"), "-", "")
	t.Cleanup(func() { s.Lus("rmi", "-f", name+"_web") })
	build := func() string {
		return s.DoIn(dir, nil, program, "--no-ansi", "-p", name, "build").Want(t, 0)
	}
	build()
	id := strings.TrimPrefix(s.OK(t, "inspect", "-f", "{{.Id}}", name+"_web"), "sha256:")[:12]
	stack.Says(t, build(), "Step 2/2 : RUN echo for py > /py", " ---> Using cache", "Successfully built "+id, "Successfully tagged "+name+"_web:latest")
}

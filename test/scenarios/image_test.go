package scenarios

import (
	"strings"
	"testing"

	"lus/test/stack"
)

// built builds an image of one Dockerfile and gives it back with its output;
// the image goes with the test.
func built(t *testing.T, s *stack.Stack, dockerfile string, args ...string) (image string, r stack.Result) {
	t.Helper()
	image = named(t, s, "image")
	t.Cleanup(func() { s.Lus("rmi", "-f", image) })
	r = s.Build(t, image, map[string]string{"Dockerfile": dockerfile}, args...)
	r.Want(t, 0)
	return image, r
}

func TestS51FigletByDockerfile(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const dockerfile = "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends figlet\nCMD [\"figlet\", \"hi\"]\n"
	image, _ := built(t, s, dockerfile)
	stack.Says(t, s.OK(t, "run", "--rm", image), "| |__ (_)", "|_| |_|_|")
	sizes := s.OK(t, "history", "--no-trunc", "--format", "{{.CreatedBy}}: {{.Size}}", image)
	for line := range strings.Lines(sizes) {
		step, size, _ := strings.Cut(strings.TrimSpace(line), "buildkit: ")
		if strings.HasPrefix(step, "RUN ") != (size != "" && size != "0B") {
			t.Errorf("only RUN writes files here, but the history says %q", line)
		}
	}
	stack.Says(t, sizes, "RUN /bin/sh -c apt-get")
	_, again := built(t, s, dockerfile)
	before, _, _ := strings.Cut(again.Err, " RUN apt-get")
	step, _, _ := strings.Cut(before[strings.LastIndexByte(before, '#'):], " ")
	stack.Says(t, again.Err, "\n"+step+" CACHED\n")
}

func TestS55ArgIsForTheBuildEnvForTheContainer(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image, _ := built(t, s, "FROM busybox\nARG V=1\nENV E=$V\n", "--build-arg", "V=2")
	out := s.OK(t, "run", "--rm", image, "env")
	stack.Says(t, out, "E=2")
	if strings.Contains("\n"+out, "\nV=") {
		t.Errorf("the build argument is in the container's environment:\n%s", out)
	}
	stack.Says(t, s.OK(t, "run", "--rm", "-e", "E=3", image, "env"), "E=3")
}

func TestS56CmdAndEntrypoint(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for _, c := range []struct{ what, dockerfile, args, want string }{
		{"CMD alone", `CMD ["echo", "cmd"]`, "", "cmd"},
		{"CMD replaced", `CMD ["echo", "cmd"]`, "echo other", "other"},
		{"CMD in shell form", `CMD echo $HOME`, "", "/root"},
		{"CMD in exec form", `CMD ["echo", "$HOME"]`, "", "$HOME"},
		{"ENTRYPOINT alone", `ENTRYPOINT ["echo", "entry"]`, "", "entry"},
		{"ENTRYPOINT with arguments", `ENTRYPOINT ["echo", "entry"]`, "more", "entry more"},
		{"both", "ENTRYPOINT [\"echo\", \"entry\"]\nCMD [\"cmd\"]", "", "entry cmd"},
		{"both, CMD replaced", "ENTRYPOINT [\"echo\", \"entry\"]\nCMD [\"cmd\"]", "more", "entry more"},
		{"ENTRYPOINT in shell form takes no arguments", "ENTRYPOINT echo entry\nCMD [\"cmd\"]", "more", "entry"},
		{"ENTRYPOINT after CMD", "CMD [\"cmd\"]\nENTRYPOINT [\"echo\", \"entry\"]", "", "entry cmd"},
	} {
		image, _ := built(t, s, "FROM busybox\n"+c.dockerfile+"\n")
		args := append([]string{"run", "--rm", image}, strings.Fields(c.args)...)
		if got := s.OK(t, args...); got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
	}
	image, _ := built(t, s, "FROM busybox\nENTRYPOINT [\"echo\", \"entry\"]\nCMD [\"cmd\"]\n")
	if got := s.OK(t, "run", "--rm", "--entrypoint", "printf", image, "%s", "given"); got != "given" {
		t.Errorf("--entrypoint: got %q", got)
	}
	image, r := built(t, s, "FROM busybox\nCMD [\"echo\", \"first\"]\nCMD [\"echo\", \"last\"]\n")
	stack.Says(t, r.All(), "Multiple CMD instructions")
	if got := s.OK(t, "run", "--rm", image); got != "last" {
		t.Errorf("two CMDs: got %q", got)
	}
}

func TestS58PythonHelloWorld(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image := named(t, s, "hello")
	s.Build(t, image, map[string]string{
		"Dockerfile": "FROM debian:bookworm-slim\n" +
			"RUN apt-get update && apt-get install -y --no-install-recommends python3-minimal\n" +
			"WORKDIR /app\nCOPY hello.py .\nCMD [\"python3\", \"hello.py\"]\n",
		"hello.py": "print('Hello World')\n",
	}).Want(t, 0)
	if got := s.OK(t, "run", "--rm", image); got != "Hello World" {
		t.Errorf("it prints %q", got)
	}
}

// A caller is told by its environment where the API is; without one it ends
// with words and a code.
func TestS61ATodoCaller(t *testing.T) {
	t.Parallel()
	s := shared(t)
	net1, api, image := network(t, s), named(t, s, "todos"), named(t, s, "caller")
	s.Build(t, image, map[string]string{
		"Dockerfile": "FROM busybox\nCOPY caller.sh /\nENV API_URL=http://localhost:8000\nCMD [\"sh\", \"/caller.sh\"]\n",
		"caller.sh":  "wget -qO- \"$API_URL/todos/1\" || { echo \"no answer from $API_URL: is the API up?\" >&2; exit 3; }\n",
	}).Want(t, 0)
	call := func() stack.Result {
		return s.Lus("run", "--rm", "--network", net1, "-e", "API_URL=http://"+api+":8000", image)
	}
	r := call()
	r.Want(t, 3)
	stack.Says(t, r.Err, "no answer from http://"+api+":8000")
	s.OK(t, "run", "-d", "--name", api, "--network", net1, stack.Busybox, "sh", "-c",
		`mkdir -p /www/todos && echo '{"id": 1, "title": "call the API"}' >/www/todos/1 && exec httpd -f -p 8000 -h /www`)
	stack.Eventually(t, "the API answers", func() bool { return s.Lus("exec", api, "wget", "-qO-", "http://127.0.0.1:8000/todos/1").Code == 0 })
	stack.Says(t, call().Want(t, 0), `"call the API"`)
	s.OK(t, "rm", "-f", api)
	call().Want(t, 3)
}

func TestS62ABrokenDockerfileShowsTheLine(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.Build(t, "whole", map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"}).Want(t, 0) // what is made once is there now
	for _, c := range []struct {
		what, dockerfile string
		says             []string
	}{
		{"a typo", "FORM busybox\n", []string{"Dockerfile:1", "FORM busybox", "FROM"}},
		{"a missing source", "FROM busybox\nCOPY nothing.txt /\n", []string{"Dockerfile:2", "COPY nothing.txt /", "not found"}},
		{"a failing step", "FROM busybox\nRUN echo trying && exit 9\n", []string{"Dockerfile:2", "RUN echo trying && exit 9", "exit code: 9"}},
		{"an unknown stage", "FROM busybox\nCOPY --from=nowhere /a /b\n", []string{"nowhere"}},
		{"nothing in it", "# only a comment\n", []string{"Dockerfile"}},
	} {
		before := s.Still()
		r := s.Build(t, "broken", map[string]string{"Dockerfile": c.dockerfile})
		if r.Code != 1 {
			t.Errorf("%s: exit code %d, want 1", c.what, r.Code)
		}
		stack.Says(t, r.All(), c.says...)
		// What was built before the broken line stays as cache.
		s.Unchanged(t, before, stack.Files)
	}
	before := s.Still()
	stack.Says(t, s.Fail(t, 1, "build", "-t", "x", "/no/such/folder"), "/no/such/folder")
	stack.Says(t, s.Fail(t, 1, "build", "-t", "x", stack.Folder(t, nil)), "Dockerfile")
	s.Unchanged(t, before, stack.Files)
}

func TestBuildOptions(t *testing.T) {
	t.Parallel()
	s := shared(t)
	dir := stack.Folder(t, map[string]string{
		"sub/Other.Dockerfile": "FROM busybox AS base\nRUN echo base >/stage\nFROM base AS top\nRUN echo top >/stage\n",
		".dockerignore":        "secret\n",
		"secret":               "s",
		"Dockerfile":           "FROM busybox\nCOPY . /all\nRUN test ! -e /all/secret && test -e /all/Dockerfile\n",
	})
	image := named(t, s, "options")
	t.Cleanup(func() { s.Lus("rmi", "-f", image) })
	s.OK(t, "build", "-t", image, "-f", dir+"/sub/Other.Dockerfile", "--target", "base", dir)
	if got := s.OK(t, "run", "--rm", image, "cat", "/stage"); got != "base" {
		t.Errorf("--target base gave %q", got)
	}
	id := s.OK(t, "build", "-q", "-t", image, dir)
	if !strings.HasPrefix(id, "sha256:") || len(id) != 71 {
		t.Errorf("-q printed %q", id)
	}
	if r := s.Lus("build", "--no-cache", "-t", image, dir); r.Code != 0 || strings.Contains(r.All(), "CACHED [2/") {
		t.Errorf("--no-cache: code %d\n%s", r.Code, r.All())
	}
}

func TestImagesAreTaggedListedAndRemoved(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image, _ := built(t, s, "FROM busybox\nENV A=b\nEXPOSE 80\nLABEL l=m\nENTRYPOINT [\"sh\"]\n")
	id := s.OK(t, "image", "inspect", "--format", "{{.Id}}", image)
	s.OK(t, "image", "tag", image, image+":v2")
	stack.Says(t, s.OK(t, "image", "ls", image), "v2", "latest", id[7:19])
	stack.Says(t, s.OK(t, "image", "inspect", image), `"A=b"`, `"80/tcp"`, `"l": "m"`, `"sh"`)
	stack.Says(t, s.OK(t, "rmi", image), "Untagged: "+image+":latest")
	stack.Says(t, s.OK(t, "rmi", image+":v2"), "Untagged: "+image+":v2", "Deleted: "+id)
	stack.Says(t, s.Fail(t, 1, "image", "inspect", image), "No such image")
}

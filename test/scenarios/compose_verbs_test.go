package scenarios

import (
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

const verbsFile = `
services:
  web:
    image: busybox
    command: httpd -f -h /www
    environment: {WORD: file}
    working_dir: /tmp
    ports: ["80"]
    volumes: [data:/www]
    depends_on: {setup: {condition: service_completed_successfully}}
  setup:
    image: busybox
    command: sh -c "echo page >/www/index.html"
    volumes: [data:/www]
  extra:
    image: busybox
    profiles: [more]
volumes: {data: {}}
`

func TestComposeVerbsOfEveryDay(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": verbsFile})
	web := p.name + "-web-1"
	state := func() string { return p.OK(t, "inspect", "-f", "{{.State.Status}}", web) }
	p.ok("up", "-d")

	if got := p.ok("exec", "-T", "-e", "WORD=flag", "-u", "7:8", "-w", "/etc", "web", "sh", "-c", "echo $WORD $(id -u) $(pwd)"); got != "flag 7 /etc" {
		t.Errorf("exec gave %q", got)
	}
	p.do("exec", "web", "sh", "-c", "exit 6").Want(t, 6)
	stack.Says(t, p.do("exec", "nothing", "true").All(), `service "nothing" is not running`)
	typed := p.DoIn(p.dir, strings.NewReader("typed\n"), filepath.Join(p.Bin, "lus"), "compose", "-p", p.name, "exec", "-T", "web", "cat")
	if got := typed.Want(t, 0); got != "typed" {
		t.Errorf("exec passed on %q", got)
	}
	port := p.ok("port", "web", "80")
	stack.Says(t, stack.Page(t, port[strings.LastIndex(port, ":")+1:], "/"), "page")
	stack.Says(t, p.ok("top", "web"), "SERVICE", "web", "httpd")
	stack.Says(t, p.ok("images"), web, "busybox")
	stack.Says(t, p.ok("ls"), p.name, "running(1)", filepath.Join(p.dir, "compose.yaml"))

	p.ok("pause", "web")
	if got := state(); got != "paused" {
		t.Errorf("after pause it is %s", got)
	}
	p.ok("unpause", "web")
	p.ok("stop", "-t", "0", "web")
	if got := state(); got != "exited" {
		t.Errorf("after stop it is %s", got)
	}
	p.ok("start", "web")
	p.ok("restart", "-t", "0", "web")
	if got := state(); got != "running" {
		t.Errorf("after start and restart it is %s", got)
	}
	p.ok("kill", "web")
	stack.Eventually(t, "the end of the killed container", func() bool { return state() == "exited" })
	p.ok("rm", "-f", "web")
	p.Fail(t, 1, "inspect", web)
	stack.Says(t, p.do("rm", "-f", "web").Err, "No stopped containers")
}

func TestComposeRunMakesAContainerOfItsOwn(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": verbsFile})
	// What it depends on has ended before it starts, and its own ports stay free.
	if got := p.ok("run", "--rm", "-T", "-e", "MORE=flag", "web", "sh", "-c", "echo $WORD $MORE $(cat /www/index.html) $(pwd)"); got != "file flag page /tmp" {
		t.Errorf("run gave %q", got)
	}
	p.do("run", "--rm", "-T", "web", "sh", "-c", "exit 5").Want(t, 5)
	if left := p.ok("ps", "-q"); left != "" {
		t.Errorf("run --rm left %s", left)
	}
	name := p.ok("run", "-d", "-u", "7", "--name", p.name+"-once", "web", "sleep", "300")
	stack.Says(t, p.OK(t, "exec", name, "id", "-u"), "7")
	if got := p.ok("ps", "--services"); got != "" {
		t.Errorf("ps shows what run made: %s", got)
	}
	stack.Says(t, p.ok("ps", "-a"), p.name+"-once")
	p.ok("up", "-d")
	stack.Says(t, p.OK(t, "inspect", "-f", "{{.State.Status}}", name), "running")
	p.ok("down") // as docker compose 5 does, it leaves it alone
	stack.Says(t, p.OK(t, "inspect", "-f", "{{.State.Status}}", name), "running")
	p.ok("down", "-t", "0", "--remove-orphans")
	p.Fail(t, 1, "inspect", name)
	stack.Says(t, p.do("run", "nothing").All(), "no such service: nothing")
}

func TestComposeConfigAnswersInParts(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": verbsFile})
	for line, want := range map[string]string{
		"--services": "setup\nweb", "--images": "busybox\nbusybox", "--volumes": "data", "--profiles": "more", "-q": "",
	} {
		if got := p.ok("config", line); got != want {
			t.Errorf("config %s gave %q, want %q", line, got, want)
		}
	}
	stack.Says(t, p.ok("config"), "working_dir: /tmp", "name: "+p.name)
	stack.Says(t, p.ok("config", "--format", "json"), `"working_dir": "/tmp"`)
	if first, second := p.ok("config", "--hash", "web"), p.ok("config", "--hash", "*"); !strings.Contains(second, first) || len(first) != len("web ")+64 {
		t.Errorf("hashes %q and %q", first, second)
	}
}

func TestComposePullFetchesWhatIsNotBuilt(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ref := stack.Registry(t) + "/one:1"
	stack.PushBusybox(t, ref, "echo", "pulled")
	p := compose(t, s, map[string]string{"compose.yaml": "services:\n  a: {image: '" + ref + "'}\n  b: {build: .}\n"})
	stack.Says(t, p.do("pull").Err, "Image "+ref+"  Pulled")
	stack.Says(t, p.do("pull", "--policy", "missing").Err, "Image "+ref+"  Skipped")
	stack.Says(t, p.ok("config", "--resolve-image-digests"), "image: "+ref+"@sha256:")
	stack.Says(t, p.ok("config", "--lock-image-digests"), "image: "+ref+"@sha256:")
	p.OK(t, "rmi", ref)
}

func TestComposePushSendsWhatIsBuilt(t *testing.T) {
	t.Parallel()
	ref := stack.Registry(t) + "/mine:1"
	p := compose(t, shared(t), map[string]string{
		"Dockerfile":   "FROM busybox\nCMD [\"echo\", \"mine\"]\n",
		"compose.yaml": "services:\n  a: {build: ., image: '" + ref + "'}\n  b: {build: ., depends_on: [a]}\n  c: {image: busybox}\n",
	})
	t.Cleanup(func() { p.Lus("rmi", "-f", ref, p.name+"-b") })
	p.ok("build", "--with-dependencies", "b")
	r := p.do("push")
	r.Want(t, 0)
	stack.Says(t, r.Err, "service b is not pushed: its image has no name of its own")
	p.OK(t, "rmi", ref)
	stack.Says(t, p.OK(t, "run", "--rm", ref), "mine")
	p.OK(t, "rmi", "-f", ref)
	p.ok("build", "--push", "--quiet", "a")
	p.OK(t, "rmi", "-f", ref)
	stack.Says(t, p.OK(t, "run", "--rm", ref), "mine")
	if r := p.do("build", "--sbom", "true"); r.Code == 0 {
		t.Error("--sbom was accepted")
	}
}

func TestComposeLogsFollowWhatStartsMeanwhile(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web: {image: busybox, command: "sh -c 'echo hello from $$HOSTNAME; sleep 300'", init: true, hostname: one}
`})
	p.ok("up", "-d")
	stack.Eventually(t, "the first line", func() bool { return strings.Contains(p.ok("logs"), "hello from one") })
	wait, _ := p.start("logs", "-f", "--no-color")
	p.ok("scale", "web=2")
	p.OK(t, "restart", "-t", "0", p.name+"-web-1")
	stack.Eventually(t, "the lines", func() bool { return strings.Count(p.ok("logs"), "hello") >= 3 })
	p.ok("kill")
	r := wait()
	r.Want(t, 0)
	stack.Says(t, r.Out, "web-1  | hello from one", "web-2  | hello from one")
	if n := strings.Count(r.Out, "web-1  | hello"); n != 2 {
		t.Errorf("web-1's two lines were printed %d times:\n%s", n, r.Out)
	}
}

func TestComposeBuildUsesSecretsAndOtherFolders(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		"key.txt": "hidden", "other/file": "from the other folder",
		"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=key wc -c </run/secrets/key >/length && ulimit -n >/files\nCOPY --from=other file /file\nCMD cat /length /files /file\n",
		"compose.yaml": `
services:
  web:
    build: {context: ., secrets: [key], additional_contexts: {other: ./other}, ulimits: {nofile: 77}}
secrets: {key: {file: key.txt}}
`,
	})
	p.ok("build")
	t.Cleanup(func() { p.Lus("rmi", "-f", p.name+"-web") })
	if got := strings.Fields(p.OK(t, "run", "--rm", p.name+"-web")); strings.Join(got, " ") != "6 77 from the other folder" {
		t.Errorf("the build saw %q", got)
	}
}

// A service's image may be the context of another's build: it is built first,
// also where it is not to run.
func TestComposeBuildsFromTheImageOfAnotherService(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		"base/Dockerfile": "FROM scratch\nCOPY file /file\n", "base/file": "from the base",
		"mid/Dockerfile": "FROM common\nCOPY more /more\n", "mid/more": "and the middle",
		"Dockerfile": "FROM busybox\nCOPY --from=mid /file /more /\nCMD cat /file /more\n",
		"compose.yaml": `
services:
  app:
    build: {context: ., additional_contexts: {mid: "service:middle"}}
  middle:
    profiles: [never]
    build: {context: mid, additional_contexts: {common: "service:root"}}
  root:
    profiles: [never]
    build: base
  other: {image: busybox, command: "true"}
`,
	})
	t.Cleanup(func() { p.Lus("rmi", "-f", p.name+"-app", p.name+"-middle", p.name+"-root") })
	plan := p.ok("up", "-d", "--dry-run", "app")
	if root, app := strings.Index(plan, p.name+"-root"), strings.Index(plan, "build image "+p.name+"-app"); root < 0 || app < root {
		t.Errorf("the plan:\n%s", plan)
	}
	read := func() string { return p.ok("run", "--rm", "app") }
	p.ok("up", "-d", "app")
	if got := read(); !strings.Contains(got, "from the baseand the middle") {
		t.Errorf("the image has %q", got)
	}
	if got := p.ok("ps", "-a", "--services"); strings.TrimSpace(got) != "app" {
		t.Errorf("these have containers: %q", got)
	}
	// What they are built from is built anew with them.
	p.write("base/file", "changed ")
	p.ok("build", "app")
	if got := read(); !strings.Contains(got, "changed and the middle") {
		t.Errorf("the image has %q after its base changed", got)
	}
	// Newer base images are looked for where there are registries for them.
	base := stack.Registry(t) + "/base:1"
	t.Cleanup(func() { p.Lus("rmi", "-f", base) })
	p.write("Dockerfile", "FROM "+base+"\nCOPY --from=mid /file /more /\nCMD cat /data /file /more\n")
	for _, data := range []string{"old", "new"} {
		stack.PushFile(t, base, "data", []byte(data))
		p.ok("build", "--pull", "app")
		if got := read(); !strings.Contains(got, data+"changed and the middle") {
			t.Errorf("the image has %q, its base is %s", got, data)
		}
	}
	p.write("compose.yaml", `
services:
  a: {build: {context: base, additional_contexts: {x: "service:b"}}}
  b: {build: {context: base, additional_contexts: {x: "service:a"}}}
`)
	r := p.do("build")
	r.Want(t, 1)
	stack.Says(t, r.Err, "compose.yaml:3", "built from itself")
}

// A service with build: and image: gets what a registry has, as the specification
// says, and is built where none has it.
func TestComposePullsBeforeItBuilds(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ref := stack.Registry(t) + "/named:1"
	p := compose(t, s, map[string]string{
		"Dockerfile":   "FROM busybox\nRUN echo built >/built\n",
		"compose.yaml": "services:\n  web: {build: ., image: '" + ref + "', command: sleep 300, init: true}\n",
	})
	t.Cleanup(func() { p.Lus("rmi", "-f", ref) })
	built := func() bool { return p.do("exec", "-T", "web", "test", "-e", "/built").Code == 0 }

	stack.Says(t, p.ok("--dry-run", "up"), "> pull, or else build image "+ref)
	r := p.do("up", "-d")
	r.Want(t, 0)
	stack.Says(t, r.Err, "is built, as no registry gives it", "Image "+ref+"  Built")
	if !built() {
		t.Error("what nobody has is not built")
	}
	p.ok("down", "-t", "0", "--rmi", "all")

	stack.PushBusybox(t, ref)
	stack.Says(t, p.do("up", "-d").Err, "Image "+ref+"  Pulled")
	if built() {
		t.Error("what the registry has is built")
	}
	p.ok("up", "-d", "--build")
	if !built() {
		t.Error("up --build does not build")
	}
	r = p.do("up", "-d", "--pull", "always", "--no-build", "--quiet-pull")
	stack.Says(t, r.Err, "Image "+ref+"  Pulled")
	stack.Lacks(t, r.Err, "Pulling from")
	if built() {
		t.Error("up --pull always does not pull")
	}
	p.ok("down", "-t", "0", "--rmi", "all")
	p.edit("compose.yaml", "build: .,", "build: ., pull_policy: build,")
	p.ok("up", "-d")
	if !built() {
		t.Error("pull_policy: build pulls")
	}
}

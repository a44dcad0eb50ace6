package scenarios

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lus/test/stack"
)

// start runs `lus compose` in the background; its output is in what it returns
// once wait is called.
func (p *project) start(args ...string) (wait func() stack.Result, kill func()) {
	p.t.Helper()
	done := make(chan stack.Result, 1)
	pid := filepath.Join(p.t.TempDir(), "pid")
	line := append([]string{"-c", `echo $$ >"$0"; exec "$@"`, pid, filepath.Join(p.Bin, "lus"), "compose", "-p", p.name}, args...)
	go func() { done <- p.DoIn(p.dir, nil, "sh", line...) }()
	ended := false
	kill = func() {
		if !ended {
			if n, err := os.ReadFile(pid); err == nil {
				p.Do(nil, "kill", "-INT", strings.TrimSpace(string(n)))
			}
		}
	}
	return func() stack.Result { r := <-done; ended = true; return r }, kill
}

func TestSecretsAndConfigsFromEverywhere(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		".env": "TOKEN=from-a-variable\n", "key.txt": "of-a-file",
		"compose.yaml": `
services:
  web:
    image: busybox
    user: "7:8"
    read_only: true
    command: sleep 300
    secrets: [token, {source: key, target: /keys/k, uid: "7", gid: "8", mode: 0400}, plain]
    configs: [inline, {source: filled, target: /etc/filled.conf, mode: 0640, gid: "8"}]
secrets:
  token: {environment: TOKEN}
  key: {file: key.txt}
  plain: {file: key.txt}
configs:
  inline: {content: "in the file, ${TOKEN}"}
  filled: {environment: TOKEN}
`,
	})
	p.ok("up", "-d")
	for path, want := range map[string]string{
		"/run/secrets/token": "from-a-variable", "/keys/k": "of-a-file", "/run/secrets/plain": "of-a-file",
		"/inline": "in the file, from-a-variable", "/etc/filled.conf": "from-a-variable",
	} {
		if got := p.ok("exec", "-T", "web", "cat", path); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
	if got := p.ok("exec", "-T", "web", "stat", "-c", "%u:%g %a", "/keys/k", "/etc/filled.conf", "/run/secrets/token"); got != "7:8 400\n0:8 640\n0:0 444" {
		t.Errorf("owners and modes are\n%s", got)
	}
	// What is in them counts as a change, and only then.
	id := func() string { return p.ok("ps", "-q", "web") }
	before := id()
	p.ok("up", "-d")
	if id() != before {
		t.Error("nothing changed, and the container was replaced")
	}
	stack.Folder(t, nil)
	if err := os.WriteFile(filepath.Join(p.dir, ".env"), []byte("TOKEN=another\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.ok("up", "-d")
	if got := p.ok("exec", "-T", "web", "cat", "/run/secrets/token"); got != "another" {
		t.Errorf("the secret is still %q", got)
	}
	if err := os.Remove(filepath.Join(p.dir, ".env")); err != nil {
		t.Fatal(err)
	}
	stack.Says(t, p.do("up", "-d").Err, `environment variable "TOKEN" required by`)
}

func TestHooksOfALifecycle(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web:
    image: busybox
    command: sh -c "trap 'exit 0' TERM; sleep 300 & wait"
    user: "7"
    volumes: ["./said:/said"]
    post_start:
      - {command: sh -c "echo started $$(id -u) $$WHO $$(pwd) >>/said/hooks", user: root, environment: {WHO: me}, working_dir: /tmp}
    pre_stop:
      - {command: sh -c "echo stopping >>/said/hooks", user: root}
`})
	said := func() string {
		text, _ := os.ReadFile(filepath.Join(p.dir, "said/hooks"))
		return strings.TrimSpace(string(text))
	}
	p.ok("up", "-d")
	if got := said(); got != "started 0 me /tmp" {
		t.Errorf("after up the hooks said %q", got)
	}
	p.ok("restart")
	p.ok("down")
	if got := said(); got != "started 0 me /tmp\nstopping\nstarted 0 me /tmp\nstopping" {
		t.Errorf("after restart and down the hooks said %q", got)
	}
	broken := compose(t, p.Stack, map[string]string{"compose.yaml": "services:\n  web:\n    image: busybox\n    command: sleep 300\n    post_start: [{command: sh -c 'echo no such table; exit 3'}]\n"})
	r := broken.do("up", "-d")
	r.Want(t, 1)
	stack.Says(t, r.Err, "post_start hook", "exit code 3: no such table")
}

func TestUpInTheForeground(t *testing.T) {
	t.Parallel()
	// The tests end once the others have said what they say.
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  tests: {image: busybox, command: "sh -c 'echo testing; until [ -e /up/db ] && [ -e /up/quiet ]; do sleep 0.05; done; exit 7'", volumes: ["up:/up"]}
  db: {image: busybox, command: "sh -c 'trap \"rm /up/db; exit 3\" TERM; echo ready; touch /up/db; sleep 300 & wait'", volumes: ["up:/up"]}
  quiet: {image: busybox, command: "sh -c 'trap \"rm /up/quiet; exit 0\" TERM; echo hush; touch /up/quiet; sleep 300 & wait'", attach: false, volumes: ["up:/up"]}
volumes: {up: {}}
`})
	r := p.do("up", "-t", "5", "--abort-on-container-exit")
	r.Want(t, 7)
	stack.Says(t, r.Out, "tests-1  | testing", "db-1     | ready", "tests-1 exited with code 7")
	stack.Says(t, r.Err, "Aborting on container exit")
	if strings.Contains(r.Out, "hush") {
		t.Error("attach: false is shown")
	}
	if left := p.ok("ps", "-q"); left != "" {
		t.Errorf("still running: %s", left)
	}
	p.do("up", "-t", "5", "--exit-code-from", "db").Want(t, 3)
	// An end without failure does not end it where failures alone are to.
	p.do("up", "-t", "5", "--exit-code-from", "tests", "--abort-on-container-failure").Want(t, 7)
	r = p.do("up", "-t", "5", "--abort-on-container-failure", "--no-log-prefix", "--attach", "quiet", "--attach", "tests")
	r.Want(t, 7)
	stack.Says(t, r.Out, "hush", "testing")
	if strings.Contains(r.Out, "|") || strings.Contains(r.Out, "ready") {
		t.Errorf("it shows\n%s", r.Out)
	}
	p.OK(t, "run", "--rm", "-v", p.name+"_up:/up", stack.Busybox, "touch", "/up/db", "/up/quiet")
	// All have ended: so does up, and what was shown before is not shown again.
	r = p.do("up", "tests")
	r.Want(t, 0)
	if strings.Count(r.Out, "testing") != 1 {
		t.Errorf("it shows\n%s", r.Out)
	}
	// Ctrl-C stops what runs.
	wait, interrupt := p.start("up", "-t", "5", "db")
	stack.Eventually(t, "db", func() bool { return p.ok("ps", "--services") == "db" })
	interrupt()
	wait().Want(t, 130)
	if left := p.ok("ps", "-q"); left != "" {
		t.Errorf("Ctrl-C left %s", left)
	}
	for _, flags := range []string{"-d --abort-on-container-exit", "--build --no-build", "--force-recreate --no-recreate", "--menu", "--pull sometimes", "--attach nobody", "-V --no-recreate", "--attach db --attach-dependencies", "--watch --no-build"} {
		if r := p.do(append([]string{"up"}, strings.Fields(flags)...)...); r.Code == 0 {
			t.Errorf("up %s was accepted", flags)
		}
	}
}

// TestUpInTheForegroundShowsEachRunOnce: what a container writes that its policy
// starts again is shown once, each run before its end, and logs -f prints it once.
func TestUpInTheForegroundShowsEachRunOnce(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  flaky: {image: busybox, command: "sh -c 'echo run >>/runs; echo this is $$(wc -l </runs); exit 4'", restart: "on-failure:2"}
`})
	again := "flaky-1 exited with code 4 (restarting)\n"
	want := "this is 1\n" + again + "this is 2\n" + again + "this is 3\nflaky-1 exited with code 4\n"
	if r := p.do("up", "--no-log-prefix"); r.Code != 0 || r.Out != want {
		t.Errorf("exit code %d; up shows\n%s", r.Code, r.Out)
	}
	p.ok("start")
	if got := p.do("logs", "--no-log-prefix", "-f").Out; got != "this is 1\nthis is 2\nthis is 3\nthis is 4\nthis is 5\nthis is 6\n" {
		t.Errorf("logs -f prints\n%s", got)
	}
}

func TestAnUpThatFailsTellsWhatRunsAndWhatDoesNot(t *testing.T) {
	t.Parallel()
	s := shared(t)
	p := compose(t, s, map[string]string{"compose.yaml": `
services:
  app: {image: busybox, command: sleep 300, depends_on: {db: {condition: service_healthy}}}
  cache: {image: busybox, command: "sh -c 'touch /up/cache; sleep 300'", volumes: ["up:/up"]}
  db:
    image: busybox
    command: sleep 300
    volumes: ["up:/up"]
    # Nothing is said of db before the cache runs.
    healthcheck: {test: "until [ -e /up/cache ]; do sleep 0.05; done; echo no connection; false", interval: 100ms, retries: 2, timeout: 10m}
volumes: {up: {}}
`})
	r := p.do("up", "-d")
	r.Want(t, 1)
	stack.Says(t, r.Err, "What runs and what does not:", "waits for db (service_healthy)", "unhealthy", "no connection", "cache", "running")

	p = compose(t, s, map[string]string{"compose.yaml": `
services:
  fine: {image: busybox, command: sleep 300}
  broken: {image: busybox, command: "sh -c 'echo cannot open /etc/app.conf >&2; exit 4'"}
`})
	// It may end later than anybody waits; the next up then starts it again.
	stack.Eventually(t, "the end of what cannot run", func() bool {
		r = p.do("up", "-d", "--wait", "--wait-timeout", "60")
		return r.Code == 1
	})
	stack.Says(t, r.Err, "exited (4)", "it ended with exit code 4", "cannot open /etc/app.conf", "fine")

	p = compose(t, s, map[string]string{"compose.yaml": `
services:
  fine: {image: busybox, command: sleep 300}
  missing: {image: "127.0.0.1:1/none:1"}
`})
	r = p.do("up", "-d")
	r.Want(t, 1)
	stack.Says(t, r.Err, "What runs and what does not:", "there is no image 127.0.0.1:1/none:1")

	// The failure's text names busybox in its advice; that image is here.
	p = compose(t, s, map[string]string{"compose.yaml": `
services:
  fine: {image: busybox, command: sleep 300}
  unpullable: {image: "127.0.0.1:1/none:1"}
`})
	r = p.do("up", "-d")
	r.Want(t, 1)
	stack.Says(t, r.Err, "for debian:bookworm-slim and busybox", "there is no image 127.0.0.1:1/none:1", "nothing was made after the failure")

	// What cannot be made says why, not what it would have waited for.
	p = compose(t, s, map[string]string{"compose.yaml": `
services:
  fine: {image: busybox, command: sleep 300}
  small: {image: busybox, command: sleep 300, mem_limit: 1m, depends_on: [fine]}
`})
	r = p.do("up", "-d")
	r.Want(t, 1)
	stack.Says(t, r.Err, "no container   Minimum memory limit allowed is 6MB")

	p = compose(t, s, map[string]string{"compose.yaml": "services:\n  slow: {image: busybox, command: sleep 300, healthcheck: {test: 'false', interval: 1s, retries: 100000}}\n"})
	r = p.do("up", "--wait", "--wait-timeout", "1")
	r.Want(t, 1)
	stack.Says(t, r.Err, "is not ready after 1s (--wait-timeout)", "its healthcheck fails")
}

func TestComposeFormatsAreDockers(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": verbsFile})
	p.ok("up", "-d")
	if head, _, _ := strings.Cut(p.ok("ps"), "\n"); strings.Join(strings.Fields(head), " ") != "NAME IMAGE COMMAND SERVICE CREATED STATUS PORTS" {
		t.Errorf("ps begins with %q", head)
	}
	var row struct {
		Name, Service, State, Health, Image, Project string
		ExitCode                                     int
		Publishers                                   []struct {
			URL, Protocol             string
			TargetPort, PublishedPort int
		}
	}
	if err := json.Unmarshal([]byte(p.ok("ps", "--format", "json", "web")), &row); err != nil {
		t.Fatal(err)
	}
	if row.Name != p.name+"-web-1" || row.Service != "web" || row.State != "running" || row.Project != p.name || len(row.Publishers) == 0 || row.Publishers[0].TargetPort != 80 || row.Publishers[0].PublishedPort == 0 {
		t.Errorf("ps --format json gave %+v", row)
	}
	for line, want := range map[string]string{
		"ps --format {{.Service}}:{{.State}}": "web:running", "ps -a --status exited --services": "setup", "ps -a --filter status=exited --format {{.ExitCode}}": "0",
		"volumes -q": p.name + "_data", "volumes --format {{.Driver}}": "local", "volumes -q setup": p.name + "_data",
		"ls -q --filter name=^" + p.name + "$": p.name, "version --short": strings.TrimPrefix(p.ok("version", "--short"), "v"),
	} {
		if got := p.ok(strings.Fields(line)...); got != want {
			t.Errorf("%s gave %q, want %q", line, got, want)
		}
	}
	for line, want := range map[string][]string{
		"volumes": {"DRIVER", "VOLUME NAME", p.name + "_data"}, "images": {"CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED", "busybox", "latest"},
		"images --format json": {`"ContainerName":"` + p.name + `-web-1"`, `"Repository":"busybox"`}, "ls --format json": {`"Name":"` + p.name + `"`, `"Status":"running(1)"`},
		"version --format json": {`"version":`}, "port web": {"80/tcp -> "}, "stats --no-stream web": {p.name + "-web-1", "CPU %"}, "-v": {"Lus Compose version"},
		"config --variables": {"NAME", "REQUIRED"}, "config --networks": {"default"}, "config --environment": {"PATH="}, "config --no-interpolate": {"httpd -f"},
		"config --no-path-resolution": {"services:"}, "config --no-normalize": {"services:"},
	} {
		stack.Says(t, p.ok(strings.Fields(line)...), want...)
	}
	out := filepath.Join(t.TempDir(), "out.yaml")
	p.ok("config", "-o", out)
	if text, err := os.ReadFile(out); err != nil || !strings.Contains(string(text), "busybox") {
		t.Errorf("config -o wrote %q, %v", text, err)
	}
	for _, line := range []string{"ps --format json --filter name=web", "ls --filter state=up", "images --format yaml", "publish x", "--ansi blue ps", "--progress fancy ps", "--compatibility ps", "down --rmi some"} {
		if r := p.do(strings.Fields(line)...); r.Code == 0 {
			t.Errorf("%s was accepted", line)
		}
	}
}

func TestComposeVerbsThatAreLusOwn(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": verbsFile, "page.html": "copied"})
	if r := p.do("create"); r.Code != 0 || p.OK(t, "inspect", "-f", "{{.State.Status}}", p.name+"-web-1") != "created" {
		t.Fatalf("create: %s", r.All())
	}
	p.ok("start", "--wait")
	p.ok("scale", "web=2")
	if got := p.ok("ps", "-q", "web"); len(strings.Fields(got)) != 2 {
		t.Errorf("scale made %q", got)
	}
	p.ok("cp", "page.html", "web:/tmp/page.html")
	for _, index := range []string{"1", "2"} {
		if got := p.ok("exec", "-T", "--index", index, "web", "cat", "/tmp/page.html"); got != "copied" {
			t.Errorf("container %s has %q", index, got)
		}
	}
	p.ok("cp", "--index", "2", "web:/tmp/page.html", "back.html")
	if text, err := os.ReadFile(filepath.Join(p.dir, "back.html")); err != nil || string(text) != "copied" {
		t.Errorf("cp brought back %q, %v", text, err)
	}
	p.ok("export", "-o", "web.tar", "web")
	if info, err := os.Stat(filepath.Join(p.dir, "web.tar")); err != nil || info.Size() < 1024 {
		t.Errorf("export wrote %v, %v", info, err)
	}
	image := p.name + ":kept"
	p.ok("commit", "-m", "with a page", "web", image)
	t.Cleanup(func() { p.Lus("rmi", "-f", image) })
	stack.Says(t, p.OK(t, "run", "--rm", image, "cat", "/tmp/page.html"), "copied")
	p.ok("restart", "-t", "0", "web")
	stack.Says(t, p.ok("events", "--since", "10m", "--until", "0s", "--json", "web"), `"action":"start"`, `"service":"web"`, `"type":"container"`)
	stack.Says(t, p.ok("events", "--since", "10m", "--until", "0s"), " container create ", "image=busybox")
	p.ok("up", "-d", "--scale", "web=1", "--force-recreate", "--no-deps", "web")
	wait, _ := p.start("wait", "web")
	p.ok("kill", "-s", "KILL", "web")
	if r := wait(); r.Code != 137 {
		t.Errorf("wait ended with %d:\n%s", r.Code, r.All())
	}
	p.ok("down", "-t", "0", "web")
	stack.Says(t, p.ok("ps", "-a", "--services"), "setup")
	stack.Says(t, p.OK(t, "network", "ls"), p.name+"_default")
	p.ok("down", "-v")
	if left := p.OK(t, "volume", "ls", "-q", "--filter", "label=com.docker.compose.project="+p.name); left != "" {
		t.Errorf("down -v left %s", left)
	}
}

func TestComposeWatchCopiesRestartsAndRebuilds(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		"src/page": "one", "src/skip.log": "", "src/.dockerignore": "", "conf/app": "a", "image/Dockerfile": "FROM busybox\nCOPY version /version\nCMD [\"sleep\",\"300\"]\n", "image/version": "1",
		"compose.yaml": `
services:
  web:
    image: busybox
    command: sleep 300
    init: true
    develop:
      watch:
        - {path: src, action: sync, target: /www, initial_sync: true, ignore: ["*.log"]}
        - {path: conf, action: sync+exec, target: /conf, exec: {command: sh -c 'cat $$FILE >>/reloaded', environment: {FILE: /conf/app}}}
        - {path: page.conf, action: sync+restart, target: /page.conf}
  built:
    build: image
    init: true
    develop: {watch: [{path: image, action: rebuild, include: [version]}]}
`, "page.conf": "p"})
	t.Cleanup(func() { p.Lus("rmi", "-f", p.name+"-built") })
	wait, interrupt := p.start("watch")
	t.Cleanup(func() { interrupt(); wait() })
	cat := func(service, path string) string {
		return strings.TrimSpace(p.do("exec", "-T", service, "cat", path).Out)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stack.Eventually(t, "the first copy", func() bool { return cat("web", "/www/page") == "one" })
	if err := os.Mkdir(filepath.Join(p.dir, "src/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, "a changed page", func() bool { write("src/page", "two"); return cat("web", "/www/page") == "two" })
	write("src/deep/new", "three")
	write("src/skip.log", "unwanted")
	stack.Eventually(t, "a page in a new folder", func() bool { return cat("web", "/www/deep/new") == "three" })
	if got := cat("web", "/www/skip.log"); got != "" {
		t.Errorf("what is ignored was copied: %q", got)
	}
	if err := os.Remove(filepath.Join(p.dir, "src/page")); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, "a page that went", func() bool { return p.do("exec", "-T", "web", "test", "-e", "/www/page").Code == 1 })
	write("conf/app", "b")
	stack.Eventually(t, "the command after a copy", func() bool { return strings.Contains(cat("web", "/reloaded"), "b") })
	started := func() string { return p.OK(t, "inspect", "-f", "{{.State.StartedAt}}", p.name+"-web-1") }
	before := started()
	write("page.conf", "q")
	stack.Eventually(t, "the restart", func() bool { return started() != before && cat("web", "/page.conf") == "q" })
	write("image/version", "2")
	stack.Eventually(t, "the new image", func() bool { return cat("built", "/version") == "2" })
}

// What changes a service's image changes those that are built from it, also where
// that one does not run, or runs and only the other is watched.
func TestComposeWatchRebuildsWhatIsBuiltFromAChangedService(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ profile, asked string }{{"profiles: [never]", ""}, {"command: sleep 300", ""}, {"command: sleep 300", "app"}} {
		t.Run(c.profile+c.asked, func(t *testing.T) {
			p := compose(t, shared(t), map[string]string{
				"base/Dockerfile": "FROM busybox\nCOPY version /version\n", "base/version": "1",
				"mid/Dockerfile": "FROM base\n", "app/Dockerfile": "FROM mid\nCMD [\"sleep\",\"300\"]\n",
				"compose.yaml": `
services:
  app:
    build: {context: app, additional_contexts: {mid: "service:mid"}}
    init: true
  mid:
    profiles: [never]
    build: {context: mid, additional_contexts: {base: "service:base"}}
  base:
    build: base
    init: true
    ` + c.profile + `
    develop: {watch: [{path: base, action: rebuild}]}
`})
			t.Cleanup(func() { p.Lus("rmi", "-f", p.name+"-app", p.name+"-mid", p.name+"-base") })
			wait, interrupt := p.start(slices.DeleteFunc([]string{"watch", c.asked}, func(s string) bool { return s == "" })...)
			t.Cleanup(func() { interrupt(); wait() })
			version := func() string { return strings.TrimSpace(p.do("exec", "-T", "app", "cat", "/version").Out) }
			stack.Eventually(t, "the first build", func() bool { return version() == "1" })
			stack.Eventually(t, "the new image", func() bool {
				if err := os.WriteFile(filepath.Join(p.dir, "base/version"), []byte("2"), 0o644); err != nil {
					t.Error(err)
				}
				return version() == "2"
			})
		})
	}
}

// News may come late: what a container wrote that ended before anybody heard of
// its start is shown all the same.
func TestUpShowsWhatEndedBeforeTheNews(t *testing.T) {
	t.Parallel()
	s := shared(t)
	p := compose(t, s, map[string]string{"compose.yaml": "services:\n  one: {image: busybox, command: echo said in passing}\n"})
	slow := lateEvents(t, s.Socket())
	up := func() string {
		return s.DoIn(p.dir, nil, "env", "LUS_HOST=unix://"+slow, filepath.Join(s.Bin, "lus"), "compose", "-p", p.name, "up").Want(t, 0)
	}
	stack.Says(t, up(), "one-1  | said in passing", "one-1 exited with code 0")
	if again := up(); strings.Count(again, "said in passing") != 1 {
		t.Errorf("the second time it shows\n%s", again)
	}
}

// lateEvents passes connections on to the daemon's socket; events go half a
// second later than they come.
func lateEvents(t *testing.T, socket string) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "late.sock")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go passOn(c, socket)
		}
	}()
	return at
}

func passOn(c net.Conn, socket string) {
	defer c.Close()
	d, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer d.Close()
	head := make([]byte, 4096)
	n, err := c.Read(head)
	if err != nil {
		return
	}
	late := strings.Contains(string(head[:n]), "/events?")
	go func() {
		_, _ = d.Write(head[:n])
		_, _ = io.Copy(d, c)
		d.Close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := d.Read(buf)
		if late {
			time.Sleep(500 * time.Millisecond)
		}
		if _, werr := c.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// On a terminal the steps under way are shown with how long they take, and are
// gone when all is done; to a log a line goes for each that ended.
func TestStepsUnderWayAreShownOnATerminal(t *testing.T) {
	t.Parallel()
	s := shared(t)
	p := compose(t, s, map[string]string{"compose.yaml": `
services:
  slow:
    image: busybox
    command: sh -c 'while ! test -e /go; do sleep 0.05; done; touch /well; sleep 1000'
    init: true
    healthcheck: {test: test -e /well, interval: 100ms, start_interval: 100ms, start_period: 10m}
  after: {image: busybox, command: sleep 1000, init: true, depends_on: {slow: {condition: service_healthy}}}
`})
	slow := p.name + "-slow-1"
	term := s.TerminalOf(t, "sh", "-c", `"$0" "$@"; echo "up ended with $?"; read x`,
		filepath.Join(s.Bin, "lus"), "compose", "-f", filepath.Join(p.dir, "compose.yaml"), "-p", p.name, "up", "-d")
	term.Sees("Container " + slow + "  Waiting")
	term.Sees("1.") // a second, and the clock moves
	p.ok("exec", "-T", "slow", "touch", "/go")
	term.Sees("up ended with 0")
	screen := term.Screen()
	stack.Says(t, screen, "Container "+slow+"  Healthy", "Container "+p.name+"-after-1  Started", "\x1b[?25h")
	// The last picture takes all that changed away.
	if last := screen[strings.LastIndex(screen, "\x1b[?25l"):]; strings.Contains(last, "Waiting") {
		t.Errorf("it ends with %q", last)
	}
	down := p.do("down", "-t", "0")
	if down.Want(t, 0); strings.Contains(down.All(), "\x1b") {
		t.Errorf("a log gets %q", down.All())
	}
	stack.Says(t, down.Err, "Container "+slow+"  Removed")
	forced := p.do("--progress", "tty", "--ansi", "never", "up", "-d", "slow")
	if forced.Want(t, 0); !strings.Contains(forced.Err, "\x1b[?25l") || strings.Contains(forced.Err, "\x1b[36m") {
		t.Errorf("asked for without colours it prints %q", forced.Err)
	}
}

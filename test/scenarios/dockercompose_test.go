package scenarios

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

// plugin is Docker's own compose, unmodified, in docker's plugin folder. It builds
// by the daemon's own builder.
func (p *project) plugin() func(args ...string) stack.Result {
	p.t.Helper()
	return p.plugins("DOCKER_BUILDKIT=0", map[string]string{"compose": need.ComposePlugin(p.t)})
}

// plugins is the same with a variable and with these plugins, by their names.
func (p *project) plugins(variable string, programs map[string]string) func(args ...string) stack.Result {
	p.t.Helper()
	docker, config := dockerClient(p.t), p.t.TempDir()
	if err := os.Mkdir(filepath.Join(config, "cli-plugins"), 0o755); err != nil {
		p.t.Fatal(err)
	}
	for name, program := range programs {
		if err := os.Symlink(program, filepath.Join(config, "cli-plugins/docker-"+name)); err != nil {
			p.t.Fatal(err)
		}
	}
	return func(args ...string) stack.Result {
		return p.DoIn(p.dir, nil, "env", append([]string{variable, docker, "--config", config, "compose", "-p", p.name}, args...)...)
	}
}

// Where buildx is there too, Docker's compose hands it all builds at once.
func TestDockersOwnComposeBuildsByBuildx(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		"key.txt": "hidden", "base/Dockerfile": "FROM scratch\nCOPY file /file\n", "base/file": "from the base",
		"Dockerfile": "FROM busybox\nARG WORD\nRUN --mount=type=secret,id=key wc -c </run/secrets/key >/length && echo $WORD >/word\nCOPY --from=base /file /\nCMD cat /word /length /file\n",
		"compose.yaml": `
services:
  app:
    build: {context: ., args: {WORD: given}, secrets: [key], additional_contexts: {base: "service:base"}}
  base: {build: base, profiles: [never]}
  inline: {build: {dockerfile_inline: "FROM busybox\nRUN echo inline >/word\n"}, command: cat /word}
secrets: {key: {file: key.txt}}
`,
	})
	t.Cleanup(func() { p.Lus("rmi", "-f", p.name+"-app", p.name+"-inline", p.name+"-base") })
	docker := p.plugins("DOCKER_BUILDKIT=1", map[string]string{"compose": need.ComposePlugin(t), "buildx": need.Buildx(t)})
	docker("build").Want(t, 0)
	docker("up", "-d", "--build").Want(t, 0)
	if got := p.OK(t, "run", "--rm", p.name+"-app"); got != "given\n6\nfrom the base" {
		t.Errorf("the image has %q", got)
	}
	stack.Says(t, docker("logs", "--no-log-prefix", "inline").Want(t, 0), "inline")
	docker("down", "--rmi", "local").Want(t, 0)
}

const pluginFile = `
services:
  web:
    image: busybox
    command: httpd -f -h /www
    ports: ["80"]
    volumes: [data:/www]
    depends_on: {setup: {condition: service_completed_successfully}, db: {condition: service_healthy}}
    healthcheck: {test: wget -q -O /dev/null http://127.0.0.1/, interval: 200ms, start_interval: 100ms, start_period: 10m}
  setup:
    image: busybox
    command: sh -c "echo page >/www/index.html; echo set up"
    volumes: [data:/www]
  db:
    build: db
    init: true
    configs: [{source: conf, target: /etc/db.conf}]
    healthcheck: {test: test -s /etc/db.conf, interval: 200ms}
    networks: {default: {aliases: [database]}}
configs: {conf: {content: "inline"}}
volumes: {data: {}}
networks: {default: {}}
`

func pluginProject(t *testing.T) *project {
	p := compose(t, shared(t), map[string]string{
		"compose.yaml": pluginFile, "page.html": "copied",
		"db/Dockerfile": "FROM busybox\nRUN echo built >/built\nCMD [\"sh\", \"-c\", \"echo ready; sleep 300\"]\n",
	})
	t.Cleanup(func() { p.Lus("rmi", "-f", p.name+"-db") })
	return p
}

func TestDockersOwnComposeRunsAProject(t *testing.T) {
	t.Parallel()
	p := pluginProject(t)
	docker := p.plugin()
	do := func(args ...string) string {
		t.Helper()
		return docker(args...).Want(t, 0)
	}
	do("up", "-d", "--wait")
	var rows []struct{ Service, State, Health string }
	for line := range strings.Lines(do("ps", "--format", "json")) {
		var row struct{ Service, State, Health string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rows = append(rows, row)
	}
	if len(rows) != 2 || rows[0].Health != "healthy" || rows[1].Health != "healthy" {
		t.Errorf("ps tells %+v", rows)
	}
	port := do("port", "web", "80")
	stack.Says(t, stack.Page(t, port[strings.LastIndex(port, ":")+1:], "/"), "page")
	stack.Eventually(t, "the database's line", func() bool { return strings.Contains(do("logs", "--no-color", "db"), "| ready") })
	stack.Says(t, do("logs", "--no-color"), "setup-1  | set up", "db-1", "| ready")
	stack.Says(t, do("logs", "--tail", "1", "--no-log-prefix", "db"), "ready")
	stack.Says(t, do("exec", "-T", "web", "wget", "-q", "-O", "-", "http://127.0.0.1/"), "page")
	stack.Says(t, do("exec", "-T", "web", "nslookup", "database"), "database")
	stack.Says(t, do("exec", "-T", "db", "cat", "/etc/db.conf", "/built"), "inline", "built")
	docker("exec", "-T", "web", "sh", "-c", "exit 6").Want(t, 6)
	before := do("ps", "-aq")
	again := docker("up", "-d")
	again.Want(t, 0)
	if after := do("ps", "-aq"); after != before {
		t.Errorf("a second up made other containers:\n%s\n%s\n%s", before, after, again.All())
	}
	do("scale", "web=3")
	if got := strings.Fields(do("ps", "-q", "web")); len(got) != 3 {
		t.Errorf("scale made %q", got)
	}
	do("up", "-d", "--scale", "web=1")
	stack.Says(t, do("top", "web"), "httpd")
	stack.Says(t, do("images"), p.name+"-web-1", "busybox")
	stack.Says(t, do("ls"), p.name, "running(2)")
	stack.Says(t, do("volumes"), p.name+"_data")
	do("cp", "page.html", "web:/tmp/page.html")
	stack.Says(t, do("exec", "-T", "web", "cat", "/tmp/page.html"), "copied")
	stack.Says(t, do("run", "--rm", "-T", "--no-deps", "web", "echo", "once"), "once")
	do("pause", "web")
	do("unpause", "web")
	do("restart", "-t", "1", "web")
	do("stop", "-t", "1")
	do("start")
	// The end of the stream is an error to it.
	stack.Says(t, docker("events", "--since", "10m", "--until", "0s", "--json", "web").Out, `"action":"start"`)
	stack.Says(t, do("stats", "--no-stream"), p.name+"-web-1")
	do("kill", "db")
	do("rm", "-f", "-s", "db")
	do("up", "-d", "--build", "--force-recreate")
	// By name alone it would not look into the file, which says what was built.
	down := docker("-f", "compose.yaml", "down", "-v", "-t", "1", "--rmi", "local")
	down.Want(t, 0)
	for kind, left := range map[string]string{
		"containers": p.OK(t, "ps", "-aq", "--filter", "label=com.docker.compose.project="+p.name),
		"volumes":    p.OK(t, "volume", "ls", "-q", "--filter", "label=com.docker.compose.project="+p.name),
		"networks":   p.OK(t, "network", "ls", "-q", "--filter", "label=com.docker.compose.project="+p.name),
		"images":     p.OK(t, "images", "-q", p.name+"-db"),
	} {
		if left != "" {
			t.Errorf("down left %s: %s\n%s", kind, left, down.All())
		}
	}
}

// What one of the two brought up, the other shows, changes and takes down.
func TestProjectsOfBothComposesAreOne(t *testing.T) {
	t.Parallel()
	p := pluginProject(t)
	docker := p.plugin()
	theirs := func(args ...string) string {
		t.Helper()
		return docker(args...).Want(t, 0)
	}
	state := func(name string) string { return p.OK(t, "inspect", "-f", "{{.State.Status}}", p.name+"-"+name) }

	theirs("up", "-d", "--wait")
	stack.Says(t, p.ok("ls"), p.name, "running(2)", filepath.Join(p.dir, "compose.yaml"))
	stack.Says(t, p.ok("ps", "-a", "--services"), "db\nsetup\nweb")
	stack.Says(t, p.ok("logs", "setup"), "setup-1  | set up")
	stack.Says(t, p.ok("exec", "-T", "web", "cat", "/www/index.html"), "page")
	p.ok("stop", "-t", "1")
	if got := state("web-1") + state("db-1"); got != "exitedexited" {
		t.Errorf("after lus stopped it, it is %s", got)
	}
	p.ok("start")
	nowhere := t.TempDir() // by name alone, as where the file is gone
	p.DoIn(nowhere, nil, filepath.Join(p.Bin, "lus"), "compose", "-p", p.name, "stop", "-t", "1").Want(t, 0)
	p.ok("up", "-d", "--wait")
	p.DoIn(nowhere, nil, filepath.Join(p.Bin, "lus"), "compose", "-p", p.name, "down", "-v", "-t", "1").Want(t, 0)
	if left := theirs("ps", "-aq"); left != "" {
		t.Errorf("after lus took it down, there is %s", left)
	}

	p.ok("up", "-d", "--wait")
	stack.Says(t, theirs("ls"), p.name, "running(2)", filepath.Join(p.dir, "compose.yaml"))
	stack.Says(t, theirs("ps", "-a", "--services"), "db", "setup", "web")
	stack.Says(t, theirs("logs", "--no-color", "setup"), "setup-1  | set up")
	stack.Says(t, theirs("exec", "-T", "web", "cat", "/www/index.html"), "page")
	theirs("stop", "-t", "1")
	if got := state("web-1") + state("db-1"); got != "exitedexited" {
		t.Errorf("after docker stopped it, it is %s", got)
	}
	theirs("up", "-d", "--wait") // it may make the containers anew: its sums are its own
	theirs("down", "-v", "-t", "1")
	if left := p.ok("ps", "-aq"); left != "" {
		t.Errorf("after docker took it down, there is %s", left)
	}
}

// Each label that Docker's compose gives its parts, ours have too. Two are left
// out: how an image was built, and the sums of volumes and networks, which are its
// own: where they differ from what it works out, it makes the network anew and
// asks to remove the volume, and where there are none it leaves both alone.
func TestLabelsAreThoseOfDockersCompose(t *testing.T) {
	t.Parallel()
	p := pluginProject(t)
	docker := p.plugin()
	labels := func() map[string][]string {
		t.Helper()
		out := map[string][]string{}
		for kind, name := range map[string]string{"container": p.name + "-web-1", "volume": p.name + "_data", "network": p.name + "_default", "image": p.name + "-db"} {
			var docs []struct {
				Labels map[string]string
				Config struct{ Labels map[string]string }
			}
			if err := json.Unmarshal([]byte(p.OK(t, kind, "inspect", name)), &docs); err != nil {
				t.Fatal(err)
			}
			for _, all := range []map[string]string{docs[0].Labels, docs[0].Config.Labels} {
				for k := range all {
					out[kind] = append(out[kind], k)
				}
			}
			slices.Sort(out[kind])
		}
		return out
	}
	docker("up", "-d", "--wait").Want(t, 0)
	theirs := labels()
	docker("down", "-v", "-t", "1", "--rmi", "local").Want(t, 0)
	p.ok("up", "-d", "--wait")
	ours := labels()
	for kind, list := range theirs {
		for _, label := range list {
			sum := label == "com.docker.compose.config-hash" && kind != "container"
			if !slices.Contains(ours[kind], label) && strings.HasPrefix(label, "com.docker.compose.") && label != "com.docker.compose.image.builder" && !sum {
				t.Errorf("a %s has no label %s", kind, label)
			}
		}
	}
}

package scenarios

import (
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// What an up replaces ends too; that is no container exit that ends it all.
func TestAnUpIsNotEndedByWhatItReplaces(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  quick: {image: busybox, command: "sh -c 'sleep 1; echo did $$V; exit 3'", environment: {V: "1"}, pre_start: [{command: echo before}]}
  long: {image: busybox, init: true, command: sleep 300, environment: {V: "1"}}
`})
	p.ok("up", "-d", "long")
	p.edit("compose.yaml", `V: "1"`, `V: "2"`)
	up := p.do("up", "--abort-on-container-exit")
	up.Want(t, 3)
	stack.Says(t, up.Out, "did 2", "quick-1 exited with code 3")
	stack.Lacks(t, up.Out, "long-1 exited", "pre_start")
}

// Who is not attached to is not waited for, and ends nothing.
func TestAnUpEndsWithWhatItShows(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  fails: {image: busybox, command: "sh -c 'exit 7'"}
  works: {image: busybox, command: "sh -c 'sleep 1; echo worked'", depends_on: {fails: {condition: service_completed_successfully, required: false}}}
  stays: {image: busybox, init: true, command: sleep 300}
`})
	up := p.do("up", "--no-attach", "fails", "--abort-on-container-exit")
	up.Want(t, 0)
	stack.Says(t, up.Out, "worked", "works-1 exited with code 0")
	p.ok("up", "--attach", "works")
	stack.Says(t, p.ok("ps"), "stays-1")
}

// Lines that are in many scripts work as they do with docker compose.
func TestComposeLinesOfOldScripts(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		"site/Dockerfile": "FROM busybox\nMAINTAINER me\n",
		"compose.yaml": `
services:
  web: {image: busybox, init: true, command: sleep 300, ports: ["127.0.0.1:` + stack.Port(t) + `:80"]}
  built: {build: site, profiles: [site]}
`})
	p.ok("up", "-d")
	for _, line := range []string{
		"exec -ti web true", "exec -it web true", "exec --no-TTY web true", "run --rm --no-TTY web true", "run -it --rm web true",
		"--no-ansi ps", "build --force-rm --no-rm --compress --parallel built", "rm --all -f", "build --progress=plain built", "convert -q", "up --no-start -d",
	} {
		p.ok(strings.Fields(line)...)
	}
	check := p.do("build", "--check", "built")
	check.Want(t, 1)
	stack.Says(t, check.All(), "MaintainerDeprecated", "Dockerfile:2")
	stack.Says(t, p.do("build", "web").Err, "no service has build:")
	stack.Says(t, p.ok("ps", "--format", "{{.Publishers}}"), "[80/tcp -> 127.0.0.1:")

	for line, said := range map[string]string{
		"logs --index 2 web": `service "web" has no container 2`, "logs --index 1": "--index is for one service",
		"cp --index 4 web:/etc/passwd .": `service "web" has no container 4`,
		"stats --no-stream nosuch":       "no such service: nosuch", "top nosuch": "no such service: nosuch", "images nosuch": "no such service: nosuch",
		"scale web": "compose scale --help", "version extra": "version takes no arguments", "build --print": "bake", "up -d --attach-dependencies": "cannot be combined",
	} {
		r := p.do(strings.Fields(line)...)
		if r.Code == 0 {
			t.Errorf("%s passes", line)
		}
		stack.Says(t, r.Err, said)
	}
	since := p.do("logs", "--since", "bogus")
	if n := strings.Count(since.Err, "neither a time"); n != 1 {
		t.Errorf("what is wrong with --since is said %d times: %s", n, since.Err)
	}
	p.ok("kill")
	stack.Says(t, p.do("kill").Want(t, 0)+p.do("kill").Err, "No container to kill")

	// What is stopped already is stopped, and who ends a wait is told nothing.
	p.ok("stop", "-t", "0")
	stack.Says(t, p.ok("down")+p.do("stop").Err, "nothing is stopped")
	p.ok("stop", "web")
	p.ok("up", "-d")
	cut := p.DoIn(p.dir, nil, "timeout", "-s", "INT", "1", filepath.Join(p.Bin, "lus"), "compose", "-p", p.name, "wait", "web")
	if cut.Err != "" {
		t.Errorf("a wait that is cut short says %s", cut.Err)
	}
}

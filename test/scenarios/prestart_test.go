package scenarios

import (
	"strings"
	"testing"

	"lus/test/stack"
)

// A hook before the start is a container of its own: it sees what the service
// mounts and has, ends before the service starts, and leaves nothing.
func TestAHookRunsBeforeAServiceStarts(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		"key.txt": "secret\n",
		"compose.yaml": `
services:
  db:
    image: busybox
    command: sh -c "sleep 300"
    healthcheck: {test: "true", interval: 100ms, start_period: 1s, start_interval: 100ms}
  web:
    image: busybox
    command: sh -c "cat /data/order; sleep 300"
    environment: {MODE: live, LEVEL: info}
    volumes: ["data:/data", /private]
    secrets: [key]
    depends_on: {db: {condition: service_healthy}}
    networks: {default: {aliases: [www]}}
    pre_start:
      - command: sh -c "nslookup db >/dev/null && echo migrate $$MODE $$LEVEL $$(cat /run/secrets/key) >>/data/order && touch /private/made"
        environment: {MODE: migration}
      - command: sh -c "echo seeded as $$(id -u) after $$(wc -l </data/order)"
        user: "7"
  alone:
    image: busybox
    command: sleep 300
secrets: {key: {file: key.txt}}
volumes: {data: {}}
`})
	up := p.do("up", "-d")
	up.Want(t, 0)
	stack.Says(t, up.Err, "web pre_start[1] | seeded as 7 after 1", p.name+"-web-pre_start-0  Completed")
	stack.Eventually(t, "the service prints what the hooks left", func() bool {
		return p.ok("logs", "--no-log-prefix", "web") == "migrate migration info secret"
	})
	p.ok("exec", "web", "test", "-e", "/private/made")
	stack.Lacks(t, p.made(), "pre_start")

	// Nothing changed: nothing runs. What is stopped and started runs them again.
	stack.Lacks(t, p.do("up", "-d").Err, "pre_start")
	p.ok("stop", "-t", "0", "web")
	p.ok("start", "web")
	stack.Eventually(t, "the hooks run with a start", func() bool {
		return strings.Count(p.ok("exec", "web", "cat", "/data/order"), "migrate") == 2
	})
}

// A hook that fails holds the service back, is kept to be looked at, and goes
// with the next attempt or with down.
func TestAFailedHookHoldsItsServiceBack(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web:
    image: busybox
    command: sleep 300
    stop_grace_period: 0s
    pre_start: [{command: "sh -c 'echo no such table; test -e /data/ready || exit 3'"}]
    volumes: ["data:/data"]
  after: {image: busybox, command: sleep 300, stop_grace_period: 0s, depends_on: [web]}
volumes: {data: {}}
`})
	failed := p.do("up", "-d")
	failed.Want(t, 1)
	hook := p.name + "-web-pre_start-0"
	stack.Says(t, failed.Err, "no such table", "service web is not started: its pre_start 0 ended with exit code 3", "lus logs "+hook)
	stack.Says(t, p.made(), hook+" exited", p.name+"-web-1 created", p.name+"-after-1 created")
	stack.Lacks(t, p.ok("ps"), "pre_start")
	stack.Says(t, p.ok("ps", "-a"), "pre_start-0")
	stack.Says(t, p.OK(t, "logs", hook), "no such table")

	p.OK(t, "run", "--rm", "-v", p.name+"_data:/data", "busybox", "touch", "/data/ready")
	p.ok("up", "-d")
	stack.Lacks(t, p.made(), "pre_start")

	// A changed hook is a reason to run it, and so to make the container anew.
	stack.Says(t, p.ok("--dry-run", "up"), "2 unchanged")
	p.edit("compose.yaml", "exit 3", "exit 4")
	stack.Says(t, p.ok("--dry-run", "up"), "pre_start.0.command", "> run container "+hook)

	p.OK(t, "run", "--rm", "-v", p.name+"_data:/data", "busybox", "rm", "/data/ready")
	stack.Says(t, p.do("up", "-d").Err, "exit code 4")
	p.ok("down", "-t", "0")
	if left := p.made(); left != "" {
		t.Errorf("down leaves %s", left)
	}
}

// An image of its own is pulled or built for a hook, and one that is for each
// container runs with each, also where they are replaced a few at a time.
func TestAHookOfEachContainerHasItsOwnImage(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		"tool/Dockerfile": "FROM busybox\nRUN echo tool >/is\n",
		"compose.yaml": `
name: ignored
services:
  tool: {build: tool, image: "${TOOL}", profiles: [never]}
  web:
    image: busybox
    command: sleep 300
    scale: 2
    stop_grace_period: 0s
    volumes: ["data:/data", "/own"]
    labels: {version: "1"}
    pre_start:
      - {command: "sh -c 'echo once >>/data/order'"}
      - {image: "${TOOL}", per_replica: true, command: "sh -c 'cat /is >>/data/order; touch /own/here'"}
volumes: {data: {}}
`})
	p.write(".env", "TOOL="+p.name+"-tool:1\n")
	p.ok("build", "tool")
	p.ok("up", "-d")
	order := func() string { return p.ok("exec", "web", "cat", "/data/order") }
	if got := order(); got != "once\ntool\ntool" {
		t.Errorf("the hooks ran as %q", got)
	}
	for _, n := range []string{"1", "2"} {
		p.ok("exec", "--index", n, "web", "test", "-e", "/own/here")
	}
	p.edit("compose.yaml", `version: "1"`, `version: "2"`)
	p.ok("up", "-d")
	if got := order(); got != "once\ntool\ntool\nonce\ntool\ntool" {
		t.Errorf("with the update the hooks ran as %q", got)
	}
}

// made are all containers of the project, and what they do.
func (p *project) made() string {
	p.t.Helper()
	return p.OK(p.t, "ps", "-a", "--filter", "label=com.docker.compose.project="+p.name, "--format", "{{.Names}} {{.State}}")
}

package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// Who does not want to wait until all have stopped presses Ctrl-C again.
func TestASecondInterruptKills(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  stays:
    image: busybox
    command: "sh -c 'trap \"echo asked\" TERM; echo ready; while :; do sleep 0.1; done'"
    stop_grace_period: 1h
`})
	wait, interrupt := p.start("up")
	stack.Eventually(t, "the program", func() bool { return strings.Contains(p.do("logs").Out, "ready") })
	interrupt()
	stack.Eventually(t, "the stop", func() bool { return strings.Contains(p.do("logs").Out, "asked") })
	interrupt()
	wait().Want(t, 130)
	if left := p.ok("ps", "-q"); left != "" {
		t.Errorf("it left %s", left)
	}
	stack.Says(t, p.ok("ps", "-a"), "Exited (137)")
}

// As with docker compose, what ran before for others is not this up's to stop.
func TestAnInterruptedUpLeavesWhatRanBefore(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  db: {image: busybox, command: sleep 300, init: true}
  cache: {image: busybox, command: sleep 300, init: true}
  web: {image: busybox, command: "sh -c 'echo ready; sleep 300'", init: true, depends_on: [db, cache]}
`})
	p.ok("up", "-d", "db")
	wait, interrupt := p.start("up", "web")
	stack.Eventually(t, "the program", func() bool { return strings.Contains(p.do("logs").Out, "ready") })
	stack.Eventually(t, "what it waits for", func() bool { return len(strings.Fields(p.do("ps", "-q").Out)) == 3 })
	interrupt()
	wait().Want(t, 130)
	if left := p.ok("ps", "--format", "{{.Service}}"); left != "db" {
		t.Errorf("there runs %q", left)
	}
}

// A kill ends what a restart policy would bring back, too.
func TestAKillEndsWhatIsRestarted(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web: {image: busybox, command: "sh -c 'exit 3'", restart: always}
`})
	p.ok("up", "-d")
	state := func() string { return p.OK(t, "inspect", "-f", "{{.State.Status}}", p.name+"-web-1") }
	stack.Eventually(t, "the pause before another start", func() bool { return state() == "restarting" })
	stack.Eventually(t, "the kill", func() bool { p.ok("kill"); return state() == "exited" })
	p.ok("kill", "-s", "HUP")
}

// An up that watches copies once there is something to copy into, shows the output
// as it is told to, and copies nothing onto the sources themselves.
func TestAnUpThatWatches(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"src/page": "one", "compose.yaml": `
services:
  web:
    image: busybox
    command: sh -c 'echo started; sleep 300'
    init: true
    develop: {watch: [{path: src, action: sync, target: /www, initial_sync: true}]}
  mounted:
    image: busybox
    command: sleep 300
    init: true
    volumes: ["./src:/www"]
    develop: {watch: [{path: src, action: sync, target: /www}]}
`})
	wait, interrupt := p.start("up", "--watch", "--no-log-prefix")
	page := func(service string) string { return p.do("exec", "-T", service, "cat", "/www/page").Out }
	stack.Eventually(t, "the first copy", func() bool { return page("web") == "one" })
	if err := os.WriteFile(filepath.Join(p.dir, "src/page"), []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, "the change", func() bool { return page("web") == "two" && page("mounted") == "two" })
	stack.Eventually(t, "the output", func() bool { return strings.Contains(p.do("logs", "web").Out, "started") })
	interrupt()
	r := wait()
	r.Want(t, 130)
	stack.Says(t, r.Out, "started")
	stack.Lacks(t, r.Out, "|")
	stack.Says(t, r.Err, "services.mounted.develop.watch:", "mounts it at /www")
	stack.Lacks(t, r.Err, `Syncing service "mounted"`)

	// Where nothing else is watched nothing is begun.
	p.ok("down", "-t", "0")
	r = p.do("up", "--watch", "mounted")
	r.Want(t, 1)
	stack.Says(t, r.Err, "nothing is left to watch")
	if made := p.made(); made != "" {
		t.Errorf("it made %s", made)
	}
}

// A rollback that is cut short says so, and how to go on.
func TestARollbackThatIsInterrupted(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web: {image: busybox, command: sleep 300, init: true}
`})
	p.ok("up", "-d")
	first := p.deployed()[0]
	p.write("compose.yaml", `
services:
  web: {image: busybox, command: sleep 300, init: true, healthcheck: {test: "false", interval: 1s, retries: 100000}}
`)
	wait, interrupt := p.start("up", "-d", "--wait") // which never ends
	t.Cleanup(func() { interrupt(); wait() })
	stack.Eventually(t, "the healthcheck", func() bool { return strings.Contains(p.do("ps").Out, "health: starting") })
	r := p.DoIn(p.dir, nil, "timeout", "--preserve-status", "-s", "INT", "1", filepath.Join(p.Bin, "lus"), "deploy", "rollback", first)
	r.Want(t, 130)
	stack.Says(t, r.Err, "Waiting for `lus compose", "Interrupted; run it again")
}

// A watch removes the image that a rebuild replaced, unless it is told to keep it.
func TestAWatchRemovesTheImageThatItReplaced(t *testing.T) {
	t.Parallel()
	for flag, kept := range map[string]bool{"--prune": false, "--prune=false": true} {
		t.Run(flag, func(t *testing.T) {
			p := compose(t, shared(t), map[string]string{
				"Dockerfile": "FROM busybox\nCOPY version /version\nCMD [\"sleep\", \"300\"]\n", "version": "1",
				"compose.yaml": "services:\n  web: {build: ., init: true, develop: {watch: [{path: version, action: rebuild}]}}\n",
			})
			t.Cleanup(func() { p.Lus("rmi", "-f", p.name+"-web") })
			wait, interrupt := p.start("watch", "--quiet", flag)
			t.Cleanup(func() { interrupt(); wait() })
			version := func() string { return p.do("exec", "-T", "web", "cat", "/version").Out }
			stack.Eventually(t, "the first build", func() bool { return version() == "1" })
			first := p.OK(t, "image", "inspect", "-f", "{{.Id}}", p.name+"-web")
			stack.Eventually(t, "the second", func() bool {
				p.write("version", "2")
				return version() == "2"
			})
			if kept {
				p.OK(t, "rmi", first)
				return
			}
			stack.Eventually(t, "the first image's end", func() bool { return p.Lus("image", "inspect", first).Code != 0 })
		})
	}
}

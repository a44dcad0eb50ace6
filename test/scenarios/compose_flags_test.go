package scenarios

import (
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

func TestComposeRunTakesDockersFlags(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"extra.env": "FROM_FILE=yes\nBOTH=file\n", "compose.yaml": `
services:
  web: {image: busybox, command: sleep 300, init: true, networks: {default: {aliases: [www]}}, ports: ["80"], cap_drop: [ALL]}
  client: {image: busybox}
`})
	got := p.ok("run", "--rm", "-T", "--env-from-file", "extra.env", "-e", "BOTH=flag", "client", "sh", "-c", "echo $FROM_FILE $BOTH")
	if got != "yes flag" {
		t.Errorf("--env-from-file gave %q", got)
	}
	if r := p.do("run", "--rm", "-T", "-q", "client", "echo", "once"); strings.TrimSpace(r.Out) != "once" || r.Err != "" {
		t.Errorf("-q printed %q and %q", r.Out, r.Err)
	}
	stack.Says(t, p.ok("run", "--rm", "-T", "--cap-add", "NET_ADMIN", "web", "grep", "CapBnd", "/proc/self/status"), "0000000000001000")
	named := p.ok("run", "-d", "--use-aliases", "--name", p.name+"-also", "web")
	stack.Says(t, p.ok("run", "--rm", "-T", "client", "nslookup", "www"), "www")
	if got := p.OK(t, "inspect", "-f", `{{index .Config.Labels "com.docker.compose.oneoff"}} {{len (index .Config.Labels "com.docker.compose.slug")}}`, named); got != "True 64" {
		t.Errorf("its labels are %q", got)
	}
	if published := p.OK(t, "port", named); published != "" {
		t.Errorf("run published %s", published)
	}
	typed := p.DoIn(p.dir, strings.NewReader("typed\n"), filepath.Join(p.Bin, "lus"), "compose", "-p", p.name, "run", "--rm", "-T", "client", "cat")
	if got := typed.Want(t, 0); got != "typed" {
		t.Errorf("run passed on %q", got)
	}
	p.do("run", "--pull", "often", "client").Want(t, 125)
}

func TestTheEnvironmentSpeaksToCompose(t *testing.T) {
	t.Parallel()
	s := shared(t)
	p := compose(t, s, map[string]string{
		"base.yaml": "services:\n  web: {image: busybox, command: \"echo ${WORD:-none}\"}\n  debug: {image: busybox, profiles: [debug]}\n",
		"more.yaml": "services:\n  web: {hostname: more}\n  old: {image: busybox}\n",
		"prod.env":  "WORD=production\n", ".env": "COMPOSE_FILE=base.yaml\nCOMPOSE_PROJECT_NAME=of-dotenv\nWORD=dotenv\n",
	})
	run := func(env string, args ...string) stack.Result {
		line := append(strings.Fields(env), filepath.Join(p.Bin, "lus"), "compose")
		return p.DoIn(p.dir, nil, "env", append(line, args...)...)
	}
	for _, c := range []struct {
		env, args string
		want      []string
	}{
		{"", "config", []string{"name: of-dotenv", "- dotenv"}},
		{"COMPOSE_PROJECT_NAME=of-env", "config", []string{"name: of-env"}},
		{"COMPOSE_PROJECT_NAME=of-env", "-p of-flag config", []string{"name: of-flag"}},
		{"COMPOSE_FILE=base.yaml:more.yaml", "config", []string{"hostname: more"}},
		{"COMPOSE_FILE=base.yaml,more.yaml COMPOSE_PATH_SEPARATOR=,", "config", []string{"hostname: more"}},
		{"", "-f base.yaml -f more.yaml config", []string{"hostname: more"}},
		{"COMPOSE_PROFILES=debug", "config --services", []string{"debug"}},
		{"", "--profile debug config --services", []string{"debug"}},
		{"COMPOSE_ENV_FILES=prod.env COMPOSE_FILE=base.yaml", "config", []string{"- production"}},
		{"", "-f base.yaml --env-file prod.env config", []string{"- production"}},
		{"COMPOSE_DISABLE_ENV_FILE=1", "-f base.yaml config", []string{"- none"}},
		{"", "--project-directory /tmp -f base.yaml config", []string{"name: tmp"}},
		{"COMPOSE_ANSI=always", "-f base.yaml version", []string{"Lus Compose version"}},
	} {
		r := run(c.env, strings.Fields(c.args)...)
		if r.Code != 0 {
			t.Errorf("%s lus compose %s: %s", c.env, c.args, r.All())
		}
		stack.Says(t, r.Out, c.want...)
	}
	for _, wrong := range []string{"COMPOSE_PARALLEL_LIMIT=many", "COMPOSE_PROGRESS=fancy", "COMPOSE_ANSI=blue"} {
		if r := run(wrong, "ps"); r.Code == 0 {
			t.Errorf("%s was accepted", wrong)
		}
	}
	p.ok("-f", "base.yaml", "-f", "more.yaml", "up", "--no-start")
	r := run("COMPOSE_IGNORE_ORPHANS=1", "-p", p.name, "-f", "base.yaml", "up", "-d")
	r.Want(t, 0)
	if strings.Contains(r.Err, "orphan") {
		t.Errorf("COMPOSE_IGNORE_ORPHANS: %s", r.Err)
	}
	r = run("COMPOSE_REMOVE_ORPHANS=1 COMPOSE_PROGRESS=json COMPOSE_STATUS_STDOUT=1 COMPOSE_PARALLEL_LIMIT=1", "-p", p.name, "-f", "base.yaml", "up", "-d")
	r.Want(t, 0)
	stack.Says(t, r.Out, `{"id":"Container `+p.name+`-old-1","status":"Done","text":"Removed"}`)
	r = p.do("--progress", "quiet", "-f", "base.yaml", "up", "-d", "--force-recreate")
	if r.Want(t, 0); r.All() != "" {
		t.Errorf("--progress quiet printed %q", r.All())
	}
	stack.Eventually(t, "a line of the log, in colour", func() bool {
		return strings.Contains(p.do("--ansi", "always", "-f", "base.yaml", "logs").Out, "\x1b[")
	})
	p.do("-f", "base.yaml", "down", "-v")
}

func TestAttachJoinsAContainer(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web: {image: busybox, command: "sh -c 'while sleep 0.1; do echo tick; done'", init: true}
`})
	p.ok("up", "-d")
	since := stamp()
	wait, _ := p.start("attach", "--no-stdin", "web")
	stack.Eventually(t, "somebody attached", func() bool {
		return len(happened(t, p.Stack, since, "container="+p.name+"-web-1", "event=attach")) > 0
	})
	stack.Eventually(t, "some lines", func() bool { return strings.Count(p.ok("logs"), "tick") > 5 })
	p.ok("kill")
	if r := wait(); r.Code != 137 {
		t.Errorf("attach ended with %d: %s", r.Code, r.All())
	}
	p.do("attach", "web").Want(t, 1)
}

// The daemon that -H names is the one that compose speaks to as well.
func TestComposeAsksTheDaemonThatIsNamed(t *testing.T) {
	t.Parallel()
	s := shared(t)
	nobody := "unix://" + filepath.Join(t.TempDir(), "nobody.sock")
	stack.Says(t, s.Fail(t, 1, "-H", nobody, "compose", "ls"), "Cannot connect to the Lus daemon at "+nobody)
}

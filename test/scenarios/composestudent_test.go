package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"lus/test/stack"
)

// The program stands in for Grafana: a page, and configuration from variables.
func TestS79RestartUnlessStopped(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.ImportBusybox(t)
	p := compose(t, s, map[string]string{"docker-compose.yml": `
services:
  grafana:
    image: busybox
    command: sh -c 'echo "$$GF_SECURITY_ADMIN_USER" >/etc/who; exec httpd -f -h /etc'
    environment:
      - GF_SECURITY_ADMIN_USER=teacher
    ports: ["80"]
    restart: unless-stopped
`})
	p.ok("up", "-d")
	page := func() string {
		port := p.do("port", "grafana", "80").Out
		_, body := stack.Get(strings.TrimSpace(port[strings.LastIndex(port, ":")+1:]), "/who")
		return strings.TrimSpace(body)
	}
	stack.Eventually(t, "the page", func() bool { return page() == "teacher" })
	started := func() string { return s.OK(t, "inspect", "-f", "{{.State.StartedAt}}", p.name+"-grafana-1") }
	before := started()
	pid := s.OK(t, "inspect", "-f", "{{.State.Pid}}", p.name+"-grafana-1")
	s.Do(nil, "kill", "-9", pid).Want(t, 0)
	stack.Eventually(t, "the page after its process was killed", func() bool { return started() != before && page() == "teacher" })
	p.ok("stop", "-t", "0")
	s.Stop()
	s.StartDaemon(t)
	if got := s.OK(t, "inspect", "-f", "{{.State.Status}}", p.name+"-grafana-1"); got != "exited" {
		t.Errorf("what was stopped is %s after the daemon came back", got)
	}
	p.ok("start")
	stack.Eventually(t, "the page after a start", func() bool { return page() == "teacher" })
}

func TestS80ARangeOfPortsAndScale(t *testing.T) {
	t.Parallel()
	lo := stack.Ports(t, 3)
	p := compose(t, shared(t), map[string]string{"compose.yaml": fmt.Sprintf(`
services:
  web:
    image: busybox
    command: httpd -f -h /etc
    ports: ["%d-%d:80"]
`, lo, lo+2)})
	p.ok("up", "-d", "--scale", "web=3")
	for port := lo; port < lo+3; port++ {
		stack.Says(t, stack.Page(t, strconv.Itoa(port), "/passwd"), "root:")
	}
	r := p.do("up", "-d", "--scale", "web=4")
	r.Want(t, 1)
	stack.Says(t, r.Err, "compose.yaml:6: services.web.ports: 4 containers cannot share the range "+fmt.Sprintf("%d-%d", lo, lo+2)+" of the host, which has 3 ports", "scale to 3")
	if got := strings.Fields(p.ok("ps", "-q")); len(got) != 3 {
		t.Errorf("after the refusal %d run", len(got))
	}
	r = p.do("up", "-d", "--scale", "web=1")
	r.Want(t, 0)
	if n := strings.Count(r.Err, "Removed"); n != 2 || len(strings.Fields(p.ok("ps", "-q"))) != 1 {
		t.Errorf("%d were removed:\n%s", n, r.Err)
	}
}

func TestS82ADatabaseAndItsNamedVolume(t *testing.T) {
	t.Parallel()
	s := shared(t)
	db := mysql(t, s)
	p := compose(t, s, map[string]string{"compose.yaml": `
services:
  mysql:
    image: ` + db + `
    environment: {MYSQL_ROOT_PASSWORD: secret, MYSQL_DATABASE: shop}
    volumes: [data:/var/lib/mysql]
    healthcheck: {test: [CMD, healthcheck], interval: 200ms, retries: 10000}
volumes: {data: {}}
`})
	sql := func(text string) string {
		t.Helper()
		return p.ok("exec", "-T", "mysql", "mariadb", "-h127.0.0.1", "-uroot", "-psecret", "shop", "-Ne", text)
	}
	p.ok("up", "-d", "--wait")
	sql("CREATE TABLE orders (n INT); INSERT INTO orders VALUES (42)")
	r := p.do("down")
	r.Want(t, 0)
	stack.Says(t, r.Err, "Volume "+p.name+"_data is kept")
	p.ok("up", "-d", "--wait")
	if got := sql("SELECT n FROM orders"); got != "42" {
		t.Errorf("after down and up the table holds %q", got)
	}
	p.ok("down", "-v")
	p.ok("up", "-d", "--wait")
	if got := sql("SHOW TABLES"); got != "" {
		t.Errorf("after down -v there is %q", got)
	}
}

// The program stands in for Mattermost: it reads its configuration and writes
// its data in folders of the host.
func TestS83BindMountsAreKeptAfterDown(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"config/config.json": "{}", "compose.yaml": `
services:
  mattermost:
    image: busybox
    command: sh -c 'cat /mattermost/config/config.json >/mattermost/data/copy && sleep 300'
    init: true
    volumes:
      - ./config:/mattermost/config:ro
      - ./data:/mattermost/data
      - type: bind
        source: ./logs
        target: /mattermost/logs
        bind: {create_host_path: true}
`})
	p.ok("up", "-d")
	data := filepath.Join(p.dir, "data/copy")
	stack.Eventually(t, "the file on the host", func() bool { text, err := os.ReadFile(data); return err == nil && string(text) == "{}" })
	p.ok("exec", "-T", "mattermost", "sh", "-c", "echo line >/mattermost/logs/app.log; ! touch /mattermost/config/x")
	p.ok("down", "-v", "-t", "0")
	for _, name := range []string{"config/config.json", "data/copy", "logs/app.log"} {
		if _, err := os.Stat(filepath.Join(p.dir, name)); err != nil {
			t.Errorf("after down: %v", err)
		}
	}
	// A folder that must be there, and is not.
	p = compose(t, p.Stack, map[string]string{"compose.yaml": `
services:
  web:
    image: busybox
    volumes: [{type: bind, source: ./gone, target: /x, bind: {create_host_path: false}}]
`})
	r := p.do("up", "-d")
	r.Want(t, 1)
	stack.Says(t, r.Err, "gone")
}

func TestS91WhatLeftTheFileIsAnOrphan(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web: {image: busybox, command: sleep 300, init: true}
  old: {image: busybox, command: sleep 300, init: true}
  debug: {image: busybox, command: sleep 300, init: true, profiles: [debug]}
`})
	p.ok("--profile", "debug", "up", "-d")
	// Those that are only not asked for are no orphans.
	for _, args := range [][]string{{"up", "-d", "web"}, {"up", "-d"}} {
		if r := p.do(args...); strings.Contains(r.Err, "orphan") {
			t.Errorf("%s: %s", args, r.Err)
		}
	}
	p.ok("up", "-d", "--remove-orphans", "web")
	if got := p.ok("ps", "--services"); got != "debug\nold\nweb" {
		t.Errorf("--remove-orphans with one service left %q", got)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "compose.yaml"), []byte("services:\n  web: {image: busybox, command: sleep 300, init: true}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := p.do("up", "-d")
	r.Want(t, 0)
	stack.Says(t, r.Err, "found orphan containers ("+p.name+"-debug-1, "+p.name+"-old-1)", "--remove-orphans")
	if got := p.ok("ps", "--services"); got != "debug\nold\nweb" {
		t.Errorf("without --remove-orphans there is %q", got)
	}
	if got := p.ok("ps", "--services", "--orphans=false"); got != "web" {
		t.Errorf("ps --orphans=false shows %q", got)
	}
	p.ok("up", "-d", "--remove-orphans")
	if got := p.ok("ps", "-a", "--services"); got != "web" {
		t.Errorf("--remove-orphans left %q", got)
	}
}

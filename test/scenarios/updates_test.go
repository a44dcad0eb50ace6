package scenarios

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lus/test/stack"
)

// site is a project with a web server that says its version, and with a client
// that asks it by name again and again.
func site(t *testing.T, s *stack.Stack, deploy string) (p *project, port string) {
	t.Helper()
	port = stack.Port(t)
	return compose(t, s, map[string]string{
		"web/Dockerfile": "FROM busybox\nRUN mkdir /www && echo version one >/www/index.html\n",
		"compose.yaml": `
services:
  web:
    build: web
    command: httpd -f -h /www
    stop_grace_period: 3s
    stop_signal: KILL
    ports: ["` + port + `:80"]
    deploy: ` + deploy + `
    healthcheck: {test: wget -q -O /dev/null http://127.0.0.1/, interval: 200ms, start_interval: 100ms, start_period: 10m}
  client:
    image: busybox
    command: sh -c 'while :; do wget -q -O /dev/null http://web/ || echo failed; echo asked; done'
    stop_signal: KILL
    depends_on: {web: {condition: service_healthy}}
`}), port
}

// asking sends requests, each over a connection of its own, until end, which
// tells how many there were and what went wrong.
func asking(t *testing.T, port string) (end func() (asked int, failed []string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 60 * time.Second}
	var count atomic.Int64
	var mu sync.Mutex
	var failed []string
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				count.Add(1)
				if err := ask(client, port); err != nil {
					mu.Lock()
					failed = append(failed, err.Error())
					mu.Unlock()
				}
			}
		})
	}
	stop := sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return func() (int, []string) {
		stop()
		return int(count.Load()), failed
	}
}

func ask(c *http.Client, port string) error {
	r, err := c.Get("http://127.0.0.1:" + port + "/")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && (r.StatusCode != 200 || !strings.HasPrefix(string(body), "version ")) {
		err = fmt.Errorf("%s: %q", r.Status, body)
	}
	return err
}

func TestAnUpdateFailsNoRequest(t *testing.T) {
	t.Parallel()
	for what, deploy := range map[string]string{
		"one container, the new one first":     `{update_config: {order: start-first}}`,
		"three containers, one at a time":      `{replicas: 3}`,
		"three, two at a time, new ones first": `{replicas: 3, update_config: {parallelism: 2, order: start-first, delay: 100ms, monitor: 300ms}}`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p, port := site(t, shared(t), deploy)
			p.ok("up", "-d")
			stack.Says(t, stack.Page(t, port, "/"), "version one")
			end := asking(t, port)
			p.edit("web/Dockerfile", "version one", "version two")
			p.ok("up", "-d", "--build")
			asked, failed := end()
			if len(failed) > 0 || asked == 0 {
				t.Errorf("%d of %d requests failed:\n%s", len(failed), asked, strings.Join(failed, "\n"))
			}
			for range 20 {
				stack.Says(t, stack.Page(t, port, "/"), "version two")
			}
			said := p.do("logs", "client").All()
			if strings.Contains(said, "failed") || !strings.Contains(said, "asked") {
				t.Errorf("by name: %d asked, %d failed: %.300s", strings.Count(said, "asked"), strings.Count(said, "failed"), said)
			}
			for n := range strings.Count(p.ok("ps", "web"), "-web-") {
				p.OK(t, "inspect", fmt.Sprintf("%s-web-%d", p.name, n+1))
			}
			if strings.Contains(p.OK(t, "ps", "-a", "--format", "{{.Names}}"), "_"+p.name) {
				t.Error("a container of the update is left")
			}
		})
	}
}

func TestAReplicatedServiceIsBalanced(t *testing.T) {
	t.Parallel()
	port := stack.Port(t)
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web:
    image: busybox
    command: sh -c 'hostname >/index.html; exec httpd -f -h /'
    stop_signal: KILL
    scale: 3
    ports: ["` + port + `:80"]
  client: {image: busybox, command: sleep 1000, stop_signal: KILL}
`})
	p.ok("up", "-d")
	seen := map[string]int{}
	stack.Eventually(t, "answers of all three", func() bool { seen[stack.Page(t, port, "/")]++; return len(seen) == 3 })
	byName := map[string]int{}
	stack.Eventually(t, "answers of all three by name", func() bool {
		byName[p.ok("exec", "-T", "client", "wget", "-q", "-O", "-", "http://web/")]++
		return len(byName) == 3
	})
	// One that is stopped is not asked any more, and scaling down keeps serving.
	p.ok("up", "-d", "--scale", "web=1", "-t", "0")
	one := stack.Page(t, port, "/")
	for range 20 {
		if got := stack.Page(t, port, "/"); got != one {
			t.Fatalf("%q and %q answer, of one container", one, got)
		}
	}
}

func TestAnUpdateThatFailsGoesBack(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"stop-first", "start-first"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			p, port := site(t, shared(t), `{replicas: 2, update_config: {order: `+order+`, failure_action: rollback}}`)
			p.ok("up", "-d")
			before := p.OK(t, "ps", "-q", "--no-trunc", "--filter", "name="+p.name+"-web-")
			end := asking(t, port)
			p.edit("compose.yaml", "httpd -f -h /www", "sh -c 'exit 3'")
			r := p.do("up", "-d")
			if r.Code != 1 {
				t.Errorf("up exits with %d:\n%s", r.Code, r.All())
			}
			stack.Says(t, r.All(), "service web", "exited (3)", "what was before runs again")
			if asked, failed := end(); len(failed) > 0 || asked == 0 {
				t.Errorf("%d of %d requests failed:\n%s", len(failed), asked, strings.Join(failed, "\n"))
			}
			stack.Says(t, stack.Page(t, port, "/"), "version one")
			if after := p.OK(t, "ps", "-q", "--no-trunc", "--filter", "name="+p.name+"-web-"); after != before {
				t.Errorf("not the containers from before:\n%s\n%s", before, after)
			}
			stack.Says(t, p.OK(t, "deploy", "ls", p.name), "rolled back")
		})
	}
}

func TestAnUpdateThatFailsPausesOrGoesOn(t *testing.T) {
	t.Parallel()
	t.Run("pause", func(t *testing.T) {
		t.Parallel()
		p, port := site(t, shared(t), `{replicas: 2, update_config: {order: start-first}}`)
		p.ok("up", "-d")
		before := p.state()
		p.edit("compose.yaml", "httpd -f -h /www", "sh -c 'exit 3'")
		r := p.do("up", "-d")
		stack.Says(t, r.All(), "exited (3)", "runs on as it was")
		if now := p.state(); r.Code != 1 || now != before {
			t.Errorf("exit code %d; not as it was:\n%s\n%s", r.Code, before, now)
		}
		stack.Says(t, stack.Page(t, port, "/"), "version one")
	})
	t.Run("continue", func(t *testing.T) {
		t.Parallel()
		p, _ := site(t, shared(t), `{replicas: 2, update_config: {failure_action: continue}}`)
		p.ok("up", "-d")
		p.edit("compose.yaml", "httpd -f -h /www", "sh -c 'exit 3'")
		stack.Says(t, p.do("up", "-d").All(), "exited (3)")
		if strings.Contains(p.ok("ps", "-a", "web"), "httpd") {
			t.Errorf("not all are replaced:\n%s", p.ok("ps", "-a"))
		}
	})
	t.Run("a share may fail", func(t *testing.T) {
		t.Parallel()
		p, _ := site(t, shared(t), `{replicas: 2, update_config: {max_failure_ratio: 1}}`)
		p.ok("up", "-d")
		p.edit("compose.yaml", "httpd -f -h /www", "sh -c 'exit 3'")
		p.ok("up", "-d")
	})
}

// A container that an update stopped and brings back has its hook run again, as
// with every start.
func TestAContainerThatIsBroughtBackHasItsHooksRun(t *testing.T) {
	t.Parallel()
	file := func(command string) string {
		return `
services:
  web:
    image: busybox
    init: true
    command: ` + command + `
    post_start: [{command: [sh, -c, "echo ran >>/hooked"]}]
    deploy: {replicas: 1, update_config: {order: stop-first, failure_action: rollback}}
`
	}
	p := compose(t, shared(t), map[string]string{"compose.yaml": file("sleep 600")})
	p.ok("up", "-d")
	p.write("compose.yaml", file(`sh -c "exit 3"`))
	p.do("up", "-d").Want(t, 1)
	if got := p.OK(t, "exec", p.name+"-web-1", "cat", "/hooked"); got != "ran\nran" {
		t.Errorf("its hook wrote %q", got)
	}
}

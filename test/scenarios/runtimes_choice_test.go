package scenarios

import (
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

func TestARuntimeThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "refused")
	for runtime, why := range map[string]string{
		"kata": "unknown or invalid runtime name: kata", "../runc": "unknown or invalid runtime name: ../runc", "/usr/sbin/runc": "unknown or invalid runtime name",
	} {
		r := s.Lus("create", "--name", name, "--runtime", runtime, stack.Busybox)
		if r.Code == 0 || !strings.Contains(r.Err, why) {
			t.Errorf("--runtime %s: %d %s", runtime, r.Code, r.All())
		}
	}
	if out := s.OK(t, "ps", "-aq", "--filter", "name="+name); out != "" {
		t.Errorf("a container was made: %s", out)
	}
	need.Program(t, "runc", "runc")
	stack.Says(t, s.OK(t, "info"), "Default Runtime: lus", "runc")
	stack.Says(t, s.OK(t, "info", "-f", "{{.Runtimes.runc.path}}"), "/runc")
	// Docker's own name for it, as it stands in people's files.
	runWith(s, "io.containerd.runc.v2", "true").Want(t, 0)
}

// Clients that others wrote, and files that people have, choose one too.
func TestClientsAndComposeFilesChooseARuntime(t *testing.T) {
	t.Parallel()
	need.Program(t, "runc", "runc")
	s := shared(t)
	for _, client := range []string{dockerClient(t), debianClient(t)} {
		name := named(t, s, "client")
		stack.Says(t, s.Do(nil, client, "info").Want(t, 0), "Runtimes: ", " runc", "Default Runtime: lus")
		if r := s.Do(nil, client, "run", "--runtime", "runc", "--name", name, stack.Busybox, "sh", "-c", "echo by runc; exit 4"); r.Code != 4 || r.Out != "by runc\n" {
			t.Errorf("%s: %d %s", client, r.Code, r.All())
		}
		stack.Says(t, s.Do(nil, client, "inspect", "-f", "{{.HostConfig.Runtime}}", name).Want(t, 0), "runc")
		s.Do(nil, client, "run", "--rm", "--runtime", "runc", stack.Busybox, "no-such-thing").Want(t, 127)
	}
	p := compose(t, s, map[string]string{"compose.yaml": "services:\n  web:\n    image: " + stack.Busybox + "\n    runtime: runc\n    command: sleep 1000\n"})
	p.ok("up", "-d")
	stack.Says(t, s.OK(t, "inspect", "-f", "{{.HostConfig.Runtime}} {{.State.Status}}", p.ok("ps", "-q", "web")), "runc running")
	p.ok("down", "-t", "0")
}

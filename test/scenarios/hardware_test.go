package scenarios

import (
	"strings"
	"testing"

	"lus/test/stack"
)

func TestAnAddressAndANameOfOnesOwnForAnInterface(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const mac = "02:42:0a:0b:0c:0d"
	name, net := named(t, s, "mac"), network(t, s)
	s.OK(t, "run", "-d", "--init", "--name", name, "--mac-address", mac, "--network", net, stack.Busybox, "sleep", "300")
	at := func() string { return s.OK(t, "exec", name, "cat", "/sys/class/net/eth0/address") }
	shown := func() string {
		return s.OK(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}", name)
	}
	if at() != mac || shown() != mac {
		t.Errorf("it has %s, and inspect shows %s", at(), shown())
	}
	s.OK(t, "restart", "-t", "0", name)
	if at() != mac {
		t.Errorf("after a restart it has %s", at())
	}
	stack.Says(t, s.OK(t, "run", "--rm", "--network", net, stack.Busybox, "ping", "-c", "1", name), "1 packets received")
	for _, wrong := range []string{"01:42:0a:0b:0c:0d", "00:00:00:00:00:00", "02:42:0a", "nonsense"} {
		if r := s.Lus("run", "--rm", "--mac-address", wrong, "--network", net, stack.Busybox, "true"); r.Code != 125 {
			t.Errorf("--mac-address %s: exit code %d", wrong, r.Code)
		}
	}

	p := compose(t, s, map[string]string{"compose.yaml": `
services:
  web:
    image: busybox
    command: sleep 300
    init: true
    mac_address: ` + mac + `
    networks:
      front: {interface_name: outside, priority: 10}
      back: {mac_address: "02:42:0a:0b:0c:0e"}
networks: {front: {}, back: {}}
`})
	p.ok("up", "-d")
	if got := p.ok("exec", "-T", "web", "cat", "/sys/class/net/outside/address", "/sys/class/net/eth0/address"); got != mac+"\n02:42:0a:0b:0c:0e" {
		t.Errorf("its interfaces have\n%s", got)
	}
	id := p.ok("ps", "-q")
	p.ok("up", "-d")
	if p.ok("ps", "-q") != id {
		t.Error("a second up made the container anew")
	}
	p.ok("restart", "-t", "0")
	if got := p.ok("exec", "-T", "web", "ls", "/sys/class/net"); strings.Join(strings.Fields(got), " ") != "eth0 lo outside" {
		t.Errorf("after a restart its interfaces are %s", got)
	}
	p.OK(t, "network", "disconnect", p.name+"_back", p.name+"-web-1")
	p.OK(t, "network", "connect", p.name+"_back", p.name+"-web-1")
	for option, want := range map[string]string{"interface_name: a/b": "cannot be the name of an interface", "driver_opts: {com.docker.network.endpoint.sysctls: x}": "is not supported"} {
		wrong := compose(t, s, map[string]string{"compose.yaml": "services:\n  web: {image: busybox, networks: {front: {" + option + "}}}\nnetworks: {front: {}}\n"})
		r := wrong.do("up", "-d")
		r.Want(t, 1)
		stack.Says(t, r.Err, want)
	}
}

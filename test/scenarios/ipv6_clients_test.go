package scenarios

import (
	"strings"
	"testing"

	"lus/test/stack"
)

// A Compose file's networks speak IPv6 where it says so, with subnets and
// addresses of its own; what nobody changed stays, and the containers of a
// service share a port on both versions of IP. Docker's own plugin carries the
// same file out.
func TestIPv6OfAComposeFile(t *testing.T) {
	t.Parallel()
	s := apart6(t)
	far := neighbour6(t, s)
	p := compose(t, s, map[string]string{"compose.yaml": `
services:
  web:
    image: ` + stack.Busybox + `
    command: ["sh", "-c", "` + web6 + `"]
    networks: [front]
    ports: ["8080:80"]
    healthcheck: {test: "wget -qO- http://[::1]/name", interval: 200ms, start_interval: 100ms, start_period: 10m}
    scale: 2
  db:
    image: ` + stack.Busybox + `
    command: sleep 600
    networks:
      front: {ipv6_address: "fd00:79::7"}
      chosen: {}
networks:
  front:
    enable_ipv6: true
    ipam:
      config:
        - {subnet: "fd00:79::/64", gateway: "fd00:79::1"}
        - {subnet: 10.79.0.0/24}
  chosen: {enable_ipv6: true}
`})
	p.ok("up", "-d", "--wait")
	db := p.name + "-db-1"
	stack.Says(t, s.OK(t, "exec", db, "ip", "-6", "addr"), "fd00:79::7/64")
	stack.Says(t, s.OK(t, "exec", db, "nslookup", "-type=AAAA", "web", "127.0.0.11"), "fd00:79::")
	stack.Says(t, s.OK(t, "exec", p.name+"-web-1", "ping", "-6", "-c", "1", "-W", "5", "db"), "1 packets received")
	seen := map[string]bool{}
	stack.Eventually(t, "both containers to answer by IPv6", func() bool {
		if page := pageFrom(far, "http://[2001:db8::1]:8080/name"); strings.HasPrefix(page, "HTTP/1.1 200") || strings.HasPrefix(page, "HTTP/1.0 200") {
			seen[page[strings.LastIndex(page, "\r\n"):]] = true
		}
		return len(seen) == 2
	})
	stack.Says(t, p.ok("ps", "web"), "[::]:8080->80/tcp")
	front := s.OK(t, "network", "inspect", p.name+"_front", "--format", "{{.Id}} {{json .IPAM.Config}}")
	if got := p.ok("up", "-d", "--wait") + s.OK(t, "network", "inspect", p.name+"_front", "--format", "{{.Id}} {{json .IPAM.Config}}"); !strings.HasSuffix(got, front) {
		t.Errorf("a second up changed the network %s:\n%s", front, got)
	}
	p.ok("down", "-t", "0")

	docker := p.plugin()
	docker("up", "-d", "--wait", "--scale", "web=1").Want(t, 0)
	stack.Says(t, s.OK(t, "exec", db, "ip", "-6", "addr"), "fd00:79::7/64")
	stack.Says(t, docker("ps", "web").Want(t, 0), "[::]:8080->80/tcp")
	if page := pageFrom(far, "http://[2001:db8::1]:8080/name"); !strings.Contains(page, "200 OK") {
		t.Errorf("the page of Docker's compose: %q", page)
	}
	docker("down", "-t", "0").Want(t, 0)
}

// Docker's client makes and reads networks with IPv6 as at its own daemon.
func TestTheDockerClientSpeaksIPv6(t *testing.T) {
	t.Parallel()
	s := apart6(t)
	program := dockerClient(t)
	docker := func(args ...string) string { return s.Do(nil, program, args...).Want(t, 0) }
	docker("network", "create", "--ipv6", "--subnet", "fd00:80::/64", "--ip-range", "fd00:80::100/120", "app")
	docker("run", "-d", "--name", "web", "--network", "app", "--ip6", "fd00:80::80", "-p", "8080:80", "-p", "[::]:8443:443", stack.Busybox, "sleep", "600")
	stack.Says(t, docker("ps"), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp", "[::]:8443->443/tcp")
	stack.Says(t, docker("port", "web"), "80/tcp -> [::]:8080", "443/tcp -> [::]:8443")
	stack.Says(t, docker("inspect", "web", "--format", "{{with .NetworkSettings.Networks.app}}{{.GlobalIPv6Address}}/{{.GlobalIPv6PrefixLen}} {{.IPv6Gateway}} {{.IPAMConfig.IPv6Address}}{{end}}"),
		"fd00:80::80/64 fd00:80::1 fd00:80::80")
	stack.Says(t, docker("network", "inspect", "app", "--format", "{{.EnableIPv6}} {{range .Containers}}{{.IPv6Address}}{{end}}"), "true fd00:80::80/64")
	stack.Says(t, docker("network", "ls", "--format", "{{.Name}} {{.IPv6}}"), "app true")
	if r := s.Do(nil, program, "network", "create", "--ipv4=false", "--ipv6", "six"); r.Code == 0 || !strings.Contains(r.All(), "without IPv4") {
		t.Errorf("a network without IPv4: %+v", r)
	}
	if r := s.Do(nil, program, "network", "create", "--subnet", "10.1.0.0/24", "--subnet", "10.2.0.0/24", "two"); r.Code == 0 || !strings.Contains(r.All(), "bridge driver doesn't support multiple subnets") {
		t.Errorf("two subnets: %+v", r)
	}
	docker("rm", "-f", "web")
	docker("network", "rm", "app")
}

package scenarios

import (
	"strings"
	"testing"

	"lus/test/stack"
)

// S87 and S88 in one file: who shares a network talks, a fixed address is that
// address, host and none are what they say.
func TestS87S88NetworksOfAComposeFile(t *testing.T) {
	t.Parallel()
	s := shared(t)
	pre := subnet()
	p := compose(t, s, map[string]string{"compose.yaml": `
x-idle: &idle
  image: ` + stack.Busybox + `
  command: sleep 600
services:
  web: {<<: *idle, networks: [front]}
  api:
    <<: *idle
    networks:
      front:
      back: {ipv4_address: ` + pre + `77, aliases: [service]}
  db: {<<: *idle, networks: [back]}
  alone: {<<: *idle, network_mode: none}
  open: {<<: *idle, network_mode: host}
networks:
  front:
  back:
    driver: bridge
    ipam:
      config: [{subnet: ` + pre + `0/24, gateway: ` + pre + `1, ip_range: ` + pre + `128/25}]
`})
	p.ok("up", "-d")
	in := func(service, to string) bool { return pings(s, p.name+"-"+service+"-1", to) }
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"web", "api", true}, {"api", "db", true}, {"db", "service", true}, {"db", pre + "77", true}, {"web", "db", false}, {"web", "service", false},
	} {
		if got := in(c.from, c.to); got != c.want {
			t.Errorf("%s to %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
	if got := s.OK(t, "exec", p.name+"-alone-1", "ls", "/sys/class/net"); got != "lo" {
		t.Errorf("none has %q", got)
	}
	if got := s.OK(t, "exec", p.name+"-open-1", "ls", "/sys/class/net"); !strings.Contains(got, "lus") {
		t.Errorf("host has %q", got)
	}

	clash := compose(t, s, map[string]string{"compose.yaml": `
services:
  web: {image: ` + stack.Busybox + `, command: sleep 600, networks: [mine]}
networks:
  mine: {ipam: {config: [{subnet: ` + pre + `0/25}]}}
`})
	out := clash.do("up", "-d")
	if out.Code == 0 {
		t.Fatal("a subnet that is taken was given again")
	}
	stack.Says(t, out.All(), "Pool overlaps with other one on this address space")
}

// The ways to publish: all that is exposed, ranges, protocols, addresses.
func TestK4WaysToPublish(t *testing.T) {
	t.Parallel()
	s := shared(t)
	all, one := named(t, s, "all"), named(t, s, "one")
	s.OK(t, "run", "-d", "--name", all, "-P", "--expose", "80", "--expose", "5353/udp", stack.Busybox, "httpd", "-f", "-h", "/etc")
	shown := s.OK(t, "port", all)
	stack.Says(t, shown, "80/tcp -> 0.0.0.0:", "5353/udp -> 0.0.0.0:")
	_, port, _ := strings.Cut(strings.Split(s.OK(t, "port", all, "80"), "\n")[0], ":")
	stack.Says(t, stack.Page(t, port, "/passwd"), "root:")

	first, second := stack.Port(t), stack.Port(t)
	s.OK(t, "run", "-d", "--name", one, "-p", "127.0.0.1:"+first+":80", "-p", second+":80", "-p", second+":80/udp", stack.Busybox, "httpd", "-f", "-h", "/etc")
	for _, p := range []string{first, second} {
		stack.Says(t, stack.Page(t, p, "/passwd"), "root:")
	}
	stack.Says(t, s.OK(t, "ps", "--filter", "name="+one), "127.0.0.1:"+first+"->80/tcp", "0.0.0.0:"+second+"->80/tcp", "0.0.0.0:"+second+"->80/udp")
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "-p", "[::1]:"+stack.Port(t)+":80", stack.Busybox, "true"), "ports are published on IPv4 addresses only")
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "-p", "8000-8002:80-81", stack.Busybox, "true"), "range")
}

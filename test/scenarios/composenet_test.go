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
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "-p", "[::1]:"+stack.Port(t)+":80", stack.Busybox, "true"), "the container has no IPv6 address")
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "-p", "8000-8002:80-81", stack.Busybox, "true"), "range")
}

// A network whose definition changes is made anew while those on it run on:
// project's containers, those of services that were not asked for, and others.
func TestComposeMakesAChangedNetworkAnew(t *testing.T) {
	t.Parallel()
	s := shared(t)
	first, second, port := subnet(), subnet(), stack.Port(t)
	file := func(front, fixed string) map[string]string {
		return map[string]string{"compose.yaml": `
x-idle: &idle
  image: ` + stack.Busybox + `
  command: sleep 600
services:
  web:
    <<: *idle
    command: httpd -f -h /etc
    ports: ["` + port + `:80"]
    networks: {front: {aliases: [www]}}
  api: {<<: *idle, networks: {front: {ipv4_address: ` + fixed + `}, back: {}}}
  late: {<<: *idle, networks: [front]}
networks:
  front: ` + front + `
  back:
`}
	}
	p := compose(t, s, file("{ipam: {config: [{subnet: "+first+"0/24}]}}", first+"9"))
	p.ok("up", "-d")
	p.ok("stop", "-t", "0", "late")
	guest := named(t, s, "guest")
	s.OK(t, "run", "-d", "--name", guest, "--network", p.name+"_front", "--network-alias", "visitor", stack.Busybox, "sleep", "600")
	container := func(service string) string { return p.name + "-" + service + "-1" }
	ids := func() string {
		return s.OK(t, "inspect", "-f", "{{.Id}} {{.State.StartedAt}}", container("web"), guest)
	}
	before := ids()
	p.write("compose.yaml", file("{ipam: {config: [{subnet: "+second+"0/24}]}, labels: {tier: edge}}", second+"9")["compose.yaml"])
	plan := p.ok("up", "-d", "--dry-run")
	stack.Says(t, plan, "~ network "+p.name+"_front", "ipam.config: "+first+"0/24 -> "+second+"0/24", "labels.tier: + edge", "~ container "+container("api"))
	p.ok("up", "-d")
	if after := ids(); after != before {
		t.Errorf("they did not run on:\n%s\n%s", before, after)
	}
	if got := s.OK(t, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}} {{.Labels.tier}}", p.name+"_front"); got != second+"0/24 edge" {
		t.Errorf("the network is %q", got)
	}
	for _, c := range []struct{ from, to string }{
		{container("api"), "www"}, {container("web"), second + "9"}, {guest, "web"}, {container("late"), "visitor"}, {container("web"), "late"},
	} {
		if !pings(s, c.from, c.to) {
			t.Errorf("%s does not reach %s", c.from, c.to)
		}
	}
	stack.Says(t, stack.Page(t, port, "/passwd"), "root:")
	if plan := p.ok("up", "-d", "--dry-run"); strings.TrimSpace(plan) != "= 3 unchanged" {
		t.Errorf("afterwards there is something left to do:\n%s", plan)
	}
	// Who was taken off a network is put on it again.
	s.OK(t, "network", "disconnect", p.name+"_front", container("web"))
	p.ok("up", "-d")
	if !pings(s, container("api"), "www") {
		t.Error("a container that was taken off its network is not on it again")
	}
	// What cannot be made leaves all as it was.
	p.write("compose.yaml", file("{driver: ipvlan, driver_opts: {parent: nonesuch0}, ipam: {config: [{subnet: "+second+"0/24}]}}", second+"9")["compose.yaml"])
	r := p.do("up", "-d")
	if r.Code == 0 {
		t.Fatal("a network was made on an interface that is not there")
	}
	stack.Says(t, r.Err, "it is as it was")
	if !pings(s, container("api"), "www") {
		t.Error("what could not be made anew is broken")
	}
}

// The networks that are always there can be named as external ones: nobody has a
// name on them.
func TestComposeTakesTheNetworksThatAreAlwaysThere(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
x-idle: &idle {image: ` + stack.Busybox + `, command: sleep 600, stop_signal: KILL}
services:
  open: {<<: *idle, networks: [everything]}
  plain: {<<: *idle, networks: [usual]}
  alone: {<<: *idle, networks: [nothing]}
networks:
  everything: {name: host, external: true}
  usual: {name: bridge, external: true}
  nothing: {name: none, external: true}
`})
	p.ok("up", "-d")
	for service, want := range map[string]string{"open": "host", "plain": "bridge", "alone": "none"} {
		if got := p.OK(t, "inspect", "-f", "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}", p.name+"-"+service+"-1"); got != want {
			t.Errorf("%s is on %q", service, got)
		}
	}
	if plan := p.ok("up", "-d", "--dry-run"); strings.TrimSpace(plan) != "= 3 unchanged" {
		t.Errorf("something is left to do:\n%s", plan)
	}
}

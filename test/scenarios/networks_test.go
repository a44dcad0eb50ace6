package scenarios

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"lus/internal/base/ids"
	"lus/test/stack"
)

// subnets counts those that tests have, from any number on: other programs may
// have some too.
var subnets = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32N(1 << 16))
	return &n
}()

// subnet is one that no other test has. (Some files of intents name their own, in
// 10.231.)
func subnet() (prefix string) {
	n := subnets.Add(1)
	return fmt.Sprintf("10.%d.%d.", 200+n/256%30, n%256)
}

// pings reports whether a container reaches a name or an address. Who answers has
// time to do so.
func pings(s *stack.Stack, from, to string) bool {
	return s.Lus("exec", from, "ping", "-c", "1", "-W", "10", to).Code == 0
}

func TestS87OnlyWhoSharesANetworkTalks(t *testing.T) {
	t.Parallel()
	s := shared(t)
	front, back := network(t, s), network(t, s)
	web, api, db := named(t, s, "web"), named(t, s, "api"), named(t, s, "db")
	s.OK(t, "run", "-d", "--name", web, "--network", front, stack.Busybox, "sleep", "600")
	s.OK(t, "run", "-d", "--name", api, "--network", front, "--network", back, stack.Busybox, "sleep", "600")
	s.OK(t, "run", "-d", "--name", db, "--network", back, stack.Busybox, "sleep", "600")
	address := func(name, net string) string {
		return s.OK(t, "inspect", "-f", `{{(index .NetworkSettings.Networks "`+net+`").IPAddress}}`, name)
	}
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{web, api, true}, {api, web, true}, {api, db, true}, {db, api, true},
		{web, db, false}, {db, web, false},
		{web, address(db, back), false}, {web, address(api, back), false},
	} {
		if got := pings(s, c.from, c.to); got != c.want {
			t.Errorf("%s to %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}

	// Host and none, as listed.
	stack.Says(t, s.OK(t, "network", "ls", "--filter", "type=builtin", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"),
		"bridge bridge local", "host host local", "none null local")
	if got := s.OK(t, "run", "--rm", "--network", "none", stack.Busybox, "ls", "/sys/class/net"); got != "lo" {
		t.Errorf("none has %q", got)
	}
	bridges := s.OK(t, "run", "--rm", "--network", "host", stack.Busybox, "ls", "/sys/class/net")
	stack.Says(t, bridges, "lus") // the host's own, our bridges among them
	for _, n := range []string{"host", "none"} {
		s.Fail(t, 1, "network", "connect", n, web)
		s.Fail(t, 1, "network", "rm", n)
	}
}

func TestS88OwnSubnetsAndFixedAddresses(t *testing.T) {
	t.Parallel()
	s := shared(t)
	p, name := subnet(), "n-"+ids.Short(ids.New())[:6]
	s.OK(t, "network", "create", "--driver", "bridge", "--subnet", p+"0/24", "--gateway", p+"254", "--ip-range", p+"128/28", "--aux-address", "router="+p+"129", name)
	t.Cleanup(func() { s.Lus("network", "rm", name) })
	if got := s.OK(t, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}} {{(index .IPAM.Config 0).IPRange}} {{(index .IPAM.Config 0).Gateway}}", name); got != p+"0/24 "+p+"128/28 "+p+"254" {
		t.Errorf("inspect: %s", got)
	}
	fixed, free := named(t, s, "fixed"), named(t, s, "free")
	s.OK(t, "run", "-d", "--name", fixed, "--network", name, "--ip", p+"7", stack.Busybox, "sleep", "600")
	stack.Says(t, s.OK(t, "exec", fixed, "ip", "-o", "-4", "addr", "show", "eth0"), p+"7/24")
	stack.Says(t, s.OK(t, "exec", fixed, "ip", "route"), "default via "+p+"254")
	if got := s.OK(t, "run", "--rm", "--name", free, "--network", name, stack.Busybox, "ip", "-o", "-4", "addr", "show", "eth0"); !strings.Contains(got, p+"128/24") && !strings.Contains(got, p+"13") {
		t.Errorf("out of the range came %s", got)
	}
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "--network", name, "--ip", p+"7", stack.Busybox, "true"), "Address already in use", p+"7", fixed)
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "--network", name, "--ip", "10.9.9.9", stack.Busybox, "true"), "no configured subnet contains IP address 10.9.9.9")
	for _, overlap := range []string{p + "0/24", p + "64/26", strings.Join(strings.Split(p, ".")[:2], ".") + ".0.0/16"} {
		stack.Says(t, s.Fail(t, 1, "network", "create", "--subnet", overlap, name+"x"), "Pool overlaps with other one on this address space")
	}
	s.OK(t, "restart", "-t", "0", fixed)
	stack.Says(t, s.OK(t, "inspect", "-f", "{{json .NetworkSettings.Networks}}", fixed), `"IPAddress":"`+p+`7"`)
}

func TestS89ConnectAndDisconnectUnderARunningPing(t *testing.T) {
	t.Parallel()
	s := shared(t)
	p, one, two := subnet(), network(t, s), "n-"+ids.Short(ids.New())[:6]
	s.OK(t, "network", "create", "--subnet", p+"0/24", "--label", "of="+two, two)
	t.Cleanup(func() { s.Lus("network", "rm", two) })
	target, pinger := named(t, s, "target"), named(t, s, "pinger")
	s.OK(t, "run", "-d", "--name", target, "--network", two, stack.Busybox, "sleep", "600")
	s.OK(t, "run", "-d", "--name", pinger, "--network", one, stack.Busybox, "sh", "-c",
		"while :; do ping -c 1 -W 1 "+target+" >/dev/null 2>&1 && echo reached || echo lost; sleep 0.1; done")
	says := func(word string) func() bool {
		return func() bool { return s.OK(t, "logs", "--tail", "1", pinger) == word }
	}
	stack.Eventually(t, "the ping on another network to be lost", says("lost"))
	s.OK(t, "network", "connect", "--ip", p+"77", "--alias", "friend", two, pinger)
	stack.Eventually(t, "the ping on the same network", says("reached"))
	if !pings(s, target, "friend") || !pings(s, target, p+"77") {
		t.Error("not found by its alias, or not at its address")
	}
	stack.Says(t, s.OK(t, "network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{.IPv4Address}} {{end}}", two), target, pinger+" "+p+"77/24")
	s.Fail(t, 1, "network", "connect", two, pinger) // is there already
	s.OK(t, "network", "disconnect", two, pinger)
	stack.Eventually(t, "the ping to be lost again", says("lost"))
	s.Fail(t, 1, "network", "disconnect", two, pinger)

	stack.Says(t, s.Fail(t, 1, "network", "rm", two), "active endpoints", target)
	if got := s.OK(t, "network", "prune", "-f", "--filter", "label=of="+two); got != "" {
		t.Errorf("a network in use was pruned: %s", got)
	}
	s.OK(t, "rm", "-f", target)
	if got := s.OK(t, "network", "ls", "-q", "--no-trunc", "--filter", "dangling=true", "--filter", "name="+two); len(got) != 64 {
		t.Errorf("the network that nobody uses: %q", got)
	}
	stack.Says(t, s.OK(t, "network", "prune", "-f", "--filter", "label=of="+two), "Deleted Networks:", two)
	s.Fail(t, 1, "network", "inspect", two)
}

// What docker's own client shows of networks, ours does, letter for letter.
func TestNetworksAsDockerShowsThem(t *testing.T) {
	t.Parallel()
	s := shared(t)
	client, p, word := dockerClient(t), subnet(), ids.Short(ids.New())[:6]
	docker := func(args ...string) string {
		t.Helper()
		return s.Do(nil, client, args...).Want(t, 0)
	}
	a, b, m := "a-"+word, "b-"+word, "m-"+word
	docker("network", "create", "--subnet", p+"0/25", "--label", "k=v", a)
	docker("network", "create", "--internal", "-o", "com.docker.network.bridge.enable_icc=false", b)
	docker("network", "create", "-d", "macvlan", "--subnet", p+"128/25", m)
	t.Cleanup(func() { s.Lus("network", "rm", a, b, m) })
	for _, args := range [][]string{
		{"network", "ls", "--filter", "name=-" + word},
		{"network", "ls", "--no-trunc", "--filter", "name=-" + word},
		{"network", "ls", "-q", "--filter", "driver=macvlan", "--filter", "name=" + word},
		{"network", "ls", "--filter", "label=k=v", "--filter", "name=" + word, "--format", "{{.ID}} {{.Name}} {{.Driver}} {{.Scope}} {{.IPv6}} {{.Internal}} {{.Labels}} {{.CreatedAt}}"},
		{"network", "ls", "--format", "json", "--filter", "name=" + a},
		{"network", "inspect", a, b, m},
		{"network", "inspect", "-f", "{{.Internal}} {{.Driver}} {{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}", m},
	} {
		if want, got := docker(args...), s.OK(t, args...); got != want {
			t.Errorf("%s\nlus:\n%s\ndocker:\n%s", strings.Join(args, " "), got, want)
		}
	}
	stack.Says(t, s.Fail(t, 1, "network", "create", "-d", "overlay", "o-"+word), "This node is not a swarm manager")
}

// Settings are kept without a part in the kernel, so that the subnet is free for
// the one network that is made from them; all outlives the daemon.
func TestANetworkFromAConfiguration(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	p := subnet()
	before := s.Still()
	s.OK(t, "network", "create", "--config-only", "--subnet", p+"0/25", "--gateway", p+"100", "--label", "a=b", "kept")
	s.Unchanged(t, before, stack.Records)
	s.OK(t, "network", "create", "--config-from", "kept", "app")
	s.OK(t, "run", "-d", "--name", "web", "--network", "app", "--ip", p+"7", stack.Busybox, "sleep", "600")
	stack.Says(t, s.OK(t, "exec", "web", "ip", "-o", "-4", "addr", "show", "eth0"), p+"7/25")
	stack.Says(t, s.OK(t, "exec", "web", "ip", "route"), "default via "+p+"100")
	stack.Says(t, s.Fail(t, 1, "network", "create", "--config-from", "kept", "other"), "Pool overlaps")
	s.Stop()
	s.StartDaemon(t)
	stack.Says(t, s.Fail(t, 1, "network", "rm", "kept"), `configuration network "kept" is in use by network app`)
	if got := s.OK(t, "network", "inspect", "-f", "{{.ConfigFrom.Network}} {{json .Labels}} {{(index .IPAM.Config 0).Subnet}}", "app"); got != "kept {\"a\":\"b\"} "+p+"0/25" {
		t.Errorf("inspect: %s", got)
	}
	s.OK(t, "rm", "-f", "web")
	s.OK(t, "network", "rm", "app", "kept")
	s.Unchanged(t, before)
}

// On a macvlan network without a parent containers have each other, and what is
// published does not concern them.
func TestMacvlanContainers(t *testing.T) {
	t.Parallel()
	s := shared(t)
	p, name := subnet(), "n-"+ids.Short(ids.New())[:6]
	if made := s.Lus("network", "create", "-d", "macvlan", "--subnet", p+"0/24", name); made.Code != 0 {
		t.Fatal(made.All())
	}
	t.Cleanup(func() { s.Lus("network", "rm", name) })
	a, b := named(t, s, "a"), named(t, s, "b")
	if out := s.Lus("run", "-d", "--name", a, "--network", name, "--ip", p+"9", stack.Busybox, "sleep", "600"); strings.Contains(out.All(), "this kernel has no macvlan") {
		t.Skip(out.All())
	} else if out.Code != 0 {
		t.Fatal(out.All())
	}
	s.OK(t, "run", "-d", "--name", b, "--network", name, "--network-alias", "bee", "-p", stack.Port(t)+":80", stack.Busybox, "sleep", "600")
	if !pings(s, a, "bee") || !pings(s, b, p+"9") {
		t.Error("the two do not reach each other")
	}
	if got := s.OK(t, "port", b); got != "" {
		t.Errorf("published: %s", got)
	}
	s.OK(t, "network", "disconnect", name, b)
	if got := s.OK(t, "exec", b, "ls", "/sys/class/net"); got != "lo" || pings(s, a, "bee") {
		t.Errorf("after disconnecting there is %s", got)
	}
	s.OK(t, "network", "connect", name, b)
	if !pings(s, a, b) {
		t.Error("connected again it is not found")
	}
}

package network_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"lus/internal/linux/network"
	model "lus/internal/model/network"
	"lus/test/need"
)

// house is a host with a network of ours on it, beside another firewall.
type house struct {
	m            *network.Manager
	n            *model.Network
	remote       ns
	web, another *box
}

// newHouse has a container whose port is published on 8080, a neighbour of
// it, and a remote host, which knows the way to both.
func newHouse(t *testing.T, remote ns, change ...func(*model.Network)) *house {
	t.Helper()
	h := &house{remote: remote, m: newManager(t)}
	h.n = newNetwork(t, h.m, change...)
	h.web, h.another = newBox(t, h.m, "web", h.n), newBox(t, h.m, "another", h.n)
	remote.sh(t, "ip", "route", "replace", h.n.IPAM.Config[0].Subnet, "via", "10.99.0.1")
	if h.n.EnableIPv6 {
		remote.sh(t, "ip", "-6", "route", "replace", h.n.IPAM.Config[1].Subnet, "via", "fd99::1")
		publish6(t, h.m, h.web, "8080:80", "8080:80/udp")
	} else {
		publish(t, h.m, h.web, "8080:80", "8080:80/udp")
	}
	return h
}

// path is from somewhere to an address, which is to be open or not.
type path struct {
	who  string
	from ns
	to   string
	open bool
}

func (h *house) paths() []path {
	all := []path{
		{"a container to the outside", h.web.ns, "10.99.0.2:80", true},
		{"a remote host to the published port", h.remote, "10.99.0.1:8080", true},
		{"the host to the published port", host(), "127.0.0.1:8080", true},
		{"a neighbour", h.another.ns, h.web.ip.String() + ":80", true},
		{"a neighbour through the host", h.another.ns, "10.99.0.1:8080", true},
		{"a remote host to what is not published", h.remote, h.another.ip.String() + ":80", false},
	}
	if !h.n.EnableIPv6 {
		return all
	}
	b, err := os.ReadFile(bridged6)
	return append(all,
		path{"a container to the outside", h.web.ns, "[fd99::2]:80", true},
		path{"a remote host to the published port", h.remote, "[fd99::1]:8080", true},
		path{"the host to the published port", host(), "[fd99::1]:8080", true},
		path{"the host to the published port", host(), "[::1]:8080", err != nil || string(b) != "1\n"},
		path{"a neighbour", h.another.ns, h.web.ip6(80), true},
		path{"a neighbour through the host", h.another.ns, "[fd99::1]:8080", true},
		path{"a remote host to what is not published", h.remote, h.another.ip6(80), false})
}

// works fails the test where a way that should be open is not, or the other
// way round.
func (h *house) works(t *testing.T) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range h.paths() {
		for _, proto := range []string{"tcp", "udp"} {
			wg.Go(func() {
				ask := c.from.ask
				if c.open {
					ask = c.from.answers
				}
				if got, err := ask(proto, c.to); (err == nil) != c.open {
					t.Errorf("%s (%s) by %s: %q, %v", c.who, c.to, proto, got, err)
				}
			})
		}
	}
}

// remedy is the commands in the Manager's warnings.
func (h *house) remedy(t *testing.T) string {
	t.Helper()
	var commands []string
	for _, w := range h.m.Warnings() {
		_, command, ok := strings.Cut(w, "to allow it run: ")
		if !ok {
			t.Fatalf("no remedy in the warning: %q", w)
		}
		commands = append(commands, command)
	}
	return strings.Join(commands, " && ")
}

// Somebody else drops what is forwarded: the warning holds the command, and
// that command, to the letter, is enough.
func TestAForeignDropIsReportedWithItsRemedy(t *testing.T) {
	needRoot(t)
	need.Program(t, "iptables", "iptables")
	both := []func(*model.Network){six}
	for name, c := range map[string]struct {
		before, after string
		change        []func(*model.Network)
	}{
		"nftables, by policy":                        {"nft add table inet strict; nft add chain inet strict fw '{ type filter hook forward priority 5; policy drop; }'", "nft delete table inet strict", nil},
		"nftables, at the end":                       {"nft add table ip strict; nft add chain ip strict fw '{ type filter hook forward priority -5; }'; nft add rule ip strict fw counter reject", "nft delete table ip strict", nil},
		"iptables, by policy":                        {"iptables -P FORWARD DROP", "nft delete table ip filter", nil},
		"iptables, at the end":                       {"iptables -A FORWARD -j REJECT --reject-with icmp-host-prohibited", "nft delete table ip filter", nil},
		"iptables, bridged too":                      {"iptables -P FORWARD DROP; sysctl -qw net.bridge.bridge-nf-call-iptables=1", "nft delete table ip filter; sysctl -qw net.bridge.bridge-nf-call-iptables=0", nil},
		"nftables, both versions of IP in one chain": {"nft add table inet strict; nft add chain inet strict fw '{ type filter hook forward priority 5; policy drop; }'", "nft delete table inet strict", both},
		"nftables, IPv6 alone":                       {"nft add table ip6 strict; nft add chain ip6 strict fw '{ type filter hook forward priority 5; policy drop; }'", "nft delete table ip6 strict", both},
		"nftables, each version of IP at the end":    {"for f in ip ip6; do nft add table $f strict; nft add chain $f strict fw '{ type filter hook forward priority -5; }'; nft add rule $f strict fw counter reject; done", "nft delete table ip strict; nft delete table ip6 strict", both},
		"ip6tables, by policy":                       {"ip6tables -P FORWARD DROP", "nft delete table ip6 filter", both},
		"iptables and ip6tables, at the end":         {"iptables -A FORWARD -j REJECT; ip6tables -A FORWARD -j REJECT --reject-with icmp6-adm-prohibited", "nft delete table ip filter; nft delete table ip6 filter", both},
		"ip6tables, bridged too":                     {"ip6tables -P FORWARD DROP; sysctl -qw net.bridge.bridge-nf-call-ip6tables=1", "nft delete table ip6 filter; sysctl -qw net.bridge.bridge-nf-call-ip6tables=0", both},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			remote := lan(t)
			remote.serve(t, "remote", 80)
			t.Cleanup(func() { _ = exec.Command("sh", "-c", c.after).Run() })
			run(t, "sh", "-ec", c.before)
			h := newHouse(t, remote, c.change...)
			outside := "10.99.0.2:80"
			if h.n.EnableIPv6 {
				outside = "[fd99::2]:80"
			}
			if _, err := h.web.ask("tcp", outside); err == nil {
				t.Fatal("the foreign chain does not drop; the test proves nothing")
			}
			run(t, "sh", "-c", h.remedy(t))
			h.works(t)
			if err := h.m.Ensure(t.Context(), h.n); err != nil {
				t.Fatal(err)
			}
			if w := h.m.Warnings(); len(w) > 0 {
				t.Errorf("still warned after the remedy: %v", w)
			}
		})
	}
}

// A host that lets nothing in but answers and neighbours, as careful people write
// it, is no hindrance: what is published is forwarded, and not for the host.
func TestBesideAnInputThatDrops(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	t.Cleanup(func() { run(t, "nft", "delete", "table", "inet", "guard") })
	run(t, "nft", `add table inet guard; add chain inet guard input { type filter hook input priority 0; policy drop; }
		add rule inet guard input iifname lo accept
		add rule inet guard input ct state established,related accept
		add rule inet guard input icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept`)
	host().serve(t, "host", 7000)
	if _, err := remote.ask("tcp", "10.99.0.1:7000"); err == nil {
		t.Fatal("the host lets in what comes; the test proves nothing")
	}
	h := newHouse(t, remote, six)
	h.works(t)
	if w := h.m.Warnings(); len(w) > 0 {
		t.Errorf("warned: %v", w)
	}
}

// Somebody flushes all rules, as a restart of the nftables service does: ours
// are made again at once, without a container having to start.
func TestFlushedRulesComeBack(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	h := newHouse(t, remote)
	run(t, "nft", "flush", "ruleset")
	until(t, "published ports", func() bool { return reaches(remote, "10.99.0.1:8080", true) })
	h.works(t)
}

// Beside Docker, rules in DOCKER-USER let our traffic through after those of
// the administrator; they go with the network, and iptables can still read the
// chain.
func TestBesideDocker(t *testing.T) {
	needRoot(t)
	for _, c := range []struct{ iptables, rules string }{
		{"iptables-nft", "docker-28"}, {"iptables-nft", "docker-20.10"}, {"iptables-legacy", "docker-20.10"},
	} {
		t.Run(c.iptables+" "+c.rules, func(t *testing.T) {
			need.Program(t, c.iptables, "iptables")
			if out, err := exec.Command(c.iptables, "-S").CombinedOutput(); err != nil {
				t.Skipf("this kernel lacks what %s needs: %s", c.iptables, out)
			}
			remote := lan(t)
			remote.serve(t, "remote", 80)
			t.Cleanup(func() { removeDocker(c.iptables) })
			run(t, "ip", "link", "add", "docker0", "type", "bridge")
			run(t, "ip", "addr", "add", "172.17.0.1/16", "dev", "docker0")
			run(t, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
			run(t, c.iptables+"-restore", "testdata/"+c.rules+".rules")
			before := run(t, c.iptables, "-S")
			h := newHouse(t, remote)
			h.works(t)
			if w := h.m.Warnings(); len(w) > 0 {
				t.Errorf("warned: %v", w)
			}
			run(t, c.iptables, "-I", "DOCKER-USER", "-s", "10.99.0.2", "-j", "DROP")
			if _, err := remote.ask("tcp", "10.99.0.1:8080"); err == nil {
				t.Error("what the administrator drops in DOCKER-USER comes through to us")
			}
			run(t, c.iptables, "-D", "DOCKER-USER", "-s", "10.99.0.2", "-j", "DROP")
			for _, b := range []*box{h.web, h.another} {
				if err := h.m.Detach(t.Context(), h.n.ID, b.id); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.m.Remove(t.Context(), h.n); err != nil {
				t.Fatal(err)
			}
			if after := run(t, c.iptables, "-S"); after != before {
				t.Errorf("left behind\n%s\nwas\n%s", after, before)
			}
		})
	}
}

// removeDocker takes away what a ruleset of testdata made.
func removeDocker(iptables string) {
	for _, table := range []string{"raw", "filter", "nat"} {
		_ = exec.Command(iptables, "-t", table, "-F").Run()
		_ = exec.Command(iptables, "-t", table, "-X").Run()
		_ = exec.Command("nft", "delete", "table", "ip", table).Run()
	}
	_ = exec.Command("iptables-legacy", "-P", "FORWARD", "ACCEPT").Run()
	_ = exec.Command("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0").Run()
	_ = exec.Command("ip", "link", "del", "docker0").Run()
}

// Forwarding is switched on for containers only: the host does not become a
// router between its other networks, and it is off again afterwards.
func TestTheHostDoesNotBecomeARouter(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	second := newNS(t)
	run(t, "ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "lan0").Run() })
	moveLink(t, "lan1", second)
	run(t, "ip", "addr", "add", "10.98.0.1/24", "dev", "lan0")
	run(t, "ip", "link", "set", "lan0", "up")
	second.sh(t, "ip", "addr", "add", "10.98.0.2/24", "dev", "lan1")
	second.sh(t, "ip", "link", "set", "lan1", "up")
	second.sh(t, "ip", "route", "add", "default", "via", "10.98.0.1")
	remote.sh(t, "ip", "route", "add", "10.98.0.0/24", "via", "10.99.0.1")
	second.serve(t, "second", 80)
	m := newManager(t)
	n := newNetwork(t, m)
	box := newBox(t, m, "c", n)
	if got, err := box.answers("tcp", "10.98.0.2:80"); err != nil || got != "second 10.98.0.1" {
		t.Errorf("a container to the second network: %q, %v", got, err)
	}
	if got, err := remote.ask("tcp", "10.98.0.2:80"); err == nil {
		t.Errorf("the host routes between its networks: %q", got)
	}
	if err := m.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, i := range []string{"wan0", "lan0", "all"} {
		b, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + i + "/forwarding")
		if err != nil || strings.TrimSpace(string(b)) != "0" {
			t.Errorf("forwarding of %s is %q afterwards, %v", i, b, err)
		}
	}
}

package network_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"lus/test/need"
)

// A chain of somebody else drops what is forwarded: the warning holds the
// command, and the command helps.
func TestForeignDropPolicyIsReportedWithItsRemedy(t *testing.T) {
	needRoot(t)
	need.Program(t, "iptables", "iptables")
	for name, c := range map[string]struct{ before, after [][]string }{
		"nftables": {
			[][]string{{"nft", "add table inet strict; add chain inet strict fw { type filter hook forward priority 5; policy drop; }"}},
			[][]string{{"nft", "delete table inet strict"}},
		},
		"iptables": {
			[][]string{{"iptables", "-P", "FORWARD", "DROP"}},
			[][]string{{"nft", "delete table ip filter"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			remote := lan(t)
			remote.serve(t, "remote", 80)
			for _, args := range c.after {
				t.Cleanup(func() { _ = exec.Command(args[0], args[1:]...).Run() })
			}
			for _, args := range c.before {
				run(t, args[0], args[1:]...)
			}
			m := newManager(t)
			n := newNetwork(t, m)
			box := newBox(t, m, "c", n)
			warnings := strings.Join(m.Warnings(), "\n")
			_, command, ok := strings.Cut(warnings, "to allow it run: ")
			if !ok {
				t.Fatalf("no remedy in the warnings: %q", warnings)
			}
			if _, err := box.ask("tcp", "10.99.0.2:80"); err == nil {
				t.Fatal("the foreign chain does not drop; the test proves nothing")
			}
			run(t, "sh", "-c", command)
			if _, err := box.ask("tcp", "10.99.0.2:80"); err != nil {
				t.Errorf("after %s: %v", command, err)
			}
			if err := m.Ensure(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if w := m.Warnings(); len(w) > 0 {
				t.Errorf("still warned after the remedy: %v", w)
			}
		})
	}
}

// Beside Docker a rule in DOCKER-USER lets our traffic through; it goes with
// the network, and Docker's tools can still read the chain.
func TestBesideDocker(t *testing.T) {
	needRoot(t)
	for _, iptables := range []string{"iptables", "iptables-legacy"} {
		t.Run(iptables, func(t *testing.T) {
			need.Program(t, iptables, "iptables")
			remote := lan(t)
			remote.serve(t, "remote", 80)
			for _, args := range [][]string{{"-P", "FORWARD", "DROP"}, {"-N", "DOCKER-USER"}, {"-A", "DOCKER-USER", "-j", "RETURN"}, {"-I", "FORWARD", "-j", "DOCKER-USER"}} {
				if out, err := exec.Command(iptables, args...).CombinedOutput(); err != nil {
					need.Unmet(t, "%s: %s", iptables, out)
				}
			}
			t.Cleanup(func() {
				for _, args := range [][]string{{"-P", "FORWARD", "ACCEPT"}, {"-F"}, {"-X"}} {
					_ = exec.Command(iptables, args...).Run()
				}
				_ = exec.Command("nft", "delete", "table", "ip", "filter").Run()
			})
			before := run(t, iptables, "-S")
			m := newManager(t)
			n := newNetwork(t, m)
			box := newBox(t, m, "c", n)
			publish(t, m, box, "8080:80")
			if _, err := box.ask("tcp", "10.99.0.2:80"); err != nil {
				t.Errorf("to the outside: %v\n%s", err, run(t, iptables, "-S"))
			}
			if _, err := remote.ask("tcp", "10.99.0.1:8080"); err != nil {
				t.Errorf("from the outside: %v", err)
			}
			if _, err := remote.ask("tcp", box.ip.String()+":80"); err == nil {
				t.Error("the rule in DOCKER-USER opened what is not published")
			}
			if w := m.Warnings(); len(w) > 0 {
				t.Errorf("warned: %v", w)
			}
			if err := m.Detach(t.Context(), n.ID, box.id); err != nil {
				t.Fatal(err)
			}
			if err := m.Remove(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if after := run(t, iptables, "-S"); after != before {
				t.Errorf("left behind\n%s\nwas\n%s", after, before)
			}
		})
	}
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
	if got, err := box.ask("tcp", "10.98.0.2:80"); err != nil || got != "second 10.98.0.1" {
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

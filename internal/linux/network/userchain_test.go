package network_test

import (
	"os/exec"
	"strings"
	"testing"

	"lus/internal/base/ids"
	"lus/internal/linux/network"
)

// anotherLan joins the host with a second remote host, 10.98.0.2.
func anotherLan(t testing.TB) ns {
	t.Helper()
	remote := newNS(t)
	run(t, "ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "lan0").Run() })
	moveLink(t, "lan1", remote)
	run(t, "ip", "addr", "add", "10.98.0.1/24", "dev", "lan0")
	run(t, "ip", "link", "set", "lan0", "up")
	remote.sh(t, "ip", "addr", "add", "10.98.0.2/24", "dev", "lan1")
	remote.sh(t, "ip", "link", "set", "lan1", "up")
	remote.sh(t, "ip", "route", "add", "default", "via", "10.98.0.1")
	return remote
}

// A published port does not go around the host's firewall: on a host that
// drops by default, the administrator's chain stops one source and not the
// other, and keeps its rules whatever becomes of the daemon.
func TestTheAdministratorFiltersPublishedPorts(t *testing.T) {
	needRoot(t)
	remote, another := lan(t), anotherLan(t)
	instance := ids.New()[:6]
	lock := t.TempDir()
	open := func() *network.Manager {
		t.Helper()
		m, err := network.New(network.Config{Instance: instance, LockDir: lock})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	flushed(t)
	run(t, "nft", "add table inet strict; add chain inet strict fw { type filter hook forward priority 5; policy drop; }")
	m := open()
	if m.UserChain() != "ip lus_"+instance+" user" {
		t.Fatalf("the chain is called %q", m.UserChain())
	}
	n := newNetwork(t, m)
	web := newBox(t, m, "web", n)
	publish(t, m, web, "8080:80", "8081:80")
	_, command, _ := strings.Cut(strings.Join(m.Warnings(), "\n"), "to allow it run: ")
	run(t, "sh", "-c", command)
	can := func(who string, from ns, at string, want bool) {
		t.Helper()
		if got := reaches(from, at, want); got != want {
			t.Errorf("%s to %s: %v, want %v\n%s", who, at, got, want, run(t, "nft", "list", "ruleset"))
		}
	}
	can("the first", remote, "10.99.0.1:8080", true)
	can("the other", another, "10.98.0.1:8080", true)

	nft := func(rule string) { t.Helper(); run(t, "sh", "-c", "nft "+rule) }
	nft("add rule " + m.UserChain() + " ip saddr 10.99.0.2 drop")
	can("the first", remote, "10.99.0.1:8080", false)
	can("the other", another, "10.98.0.1:8080", true)

	// By the port as published.
	nft("add rule " + m.UserChain() + " meta l4proto tcp ct original proto-dst 8081 drop")
	can("the other", another, "10.98.0.1:8081", false)
	can("the other", another, "10.98.0.1:8080", true)
	can("the host itself", host(), "127.0.0.1:8081", true) // is not forwarded

	// What comes after the daemon died, was stopped with nothing running, and
	// was there all along when somebody else's rules went.
	rules := func() string { return run(t, "sh", "-c", "nft list chain "+m.UserChain()) }
	before := rules()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	second := open()
	if after := rules(); after != before {
		t.Errorf("after a restart\n%s\nwas\n%s", after, before)
	}
	if err := second.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := rules(); after != before {
		t.Errorf("after a stop\n%s\nwas\n%s", after, before)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third := open()
	if after := rules(); after != before {
		t.Errorf("after a start\n%s\nwas\n%s", after, before)
	}
	nft("flush chain " + m.UserChain())
	if err := third.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	if left := run(t, "nft", "list", "tables"); strings.Contains(left, instance) {
		t.Errorf("left although nobody had rules in it: %s", left)
	}
}

package vm

import (
	"strings"
	"testing"
)

// outside is another host on a link with this one, which has 2001:db8::1 and
// 203.0.113.1 on out0; the other one has .2 and ::2 and is the namespace far.
func outside(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		_, _ = try(t, "ip", "netns", "del", "far")
		_, _ = try(t, "ip", "link", "del", "out0")
	})
	do(t, "sh", "-ec", `
		ip netns add far
		ip link add out0 type veth peer name out1 netns far
		ip addr add 203.0.113.1/24 dev out0; ip addr add 2001:db8::1/64 dev out0 nodad
		ip link set out0 up
		ip -n far link set lo up
		ip -n far addr add 203.0.113.2/24 dev out1; ip -n far addr add 2001:db8::2/64 dev out1 nodad
		ip -n far link set out1 up`)
}

// fetch reads /etc/passwd of a container that serves it, by bash alone, which is
// in the machine; far is asked from there.
func fetch(t *testing.T, far bool, host, port string) string {
	t.Helper()
	args := []string{"timeout", "20", "bash", "-c", `exec 3<>"/dev/tcp/$0/$1"; printf 'GET /passwd HTTP/1.0\r\n\r\n' >&3; cat <&3`, host, port}
	if far {
		args = append([]string{"ip", "netns", "exec", "far"}, args...)
	}
	out, _ := try(t, args[0], args[1:]...)
	return out
}

// This kernel forwards IPv6 by all interfaces or by none: containers have names,
// published ports and the way out all the same, and the host goes back to what it
// was with the last network.
func TestIPv6(t *testing.T) {
	do(t, "systemctl", "start", "lus.socket")
	lus(t, "image", "import", "/opt/lus/busybox.tar", "busybox:latest")
	outside(t)
	before := read(t, "/proc/sys/net/ipv6/conf/all/forwarding")
	lus(t, "network", "create", "--ipv6", "six")
	t.Cleanup(func() {
		lus(t, "network", "rm", "six")
		do(t, "systemctl", "stop", "lus.service", "lus.socket")
		equal(t, "forwarding with nothing running", read(t, "/proc/sys/net/ipv6/conf/all/forwarding"), before)
		do(t, "systemctl", "start", "lus.socket")
	})
	started(t, "web6", "--network", "six", "-p", "8086:80", "busybox", "httpd", "-f", "-p", "[::]:80", "-h", "/etc")
	address := lus(t, "inspect", "-f", "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}", "web6")
	for _, c := range []struct {
		from bool
		host string
	}{{false, "::1"}, {false, "127.0.0.1"}, {false, "2001:db8::1"}, {true, "2001:db8::1"}, {true, "203.0.113.1"}} {
		eventually(t, "the page at "+c.host, func() bool { return strings.Contains(fetch(t, c.from, c.host, "8086"), "root:") })
	}
	if ports := lus(t, "port", "web6"); !strings.Contains(ports, "[::]:8086") {
		t.Errorf("published at %s", ports)
	}
	inside := func(script string) string {
		t.Helper()
		return lus(t, "run", "--rm", "--network", "six", "busybox", "sh", "-ec", script)
	}
	if out := inside("nslookup -type=AAAA web6 127.0.0.11"); !strings.Contains(out, address) {
		t.Errorf("no %s in the answer %s", address, out)
	}
	inside("ping -6 -c 1 -W 30 web6; ping -6 -c 1 -W 30 2001:db8::2; wget -qO- 'http://[" + address + "]/passwd' | grep -q root:")
	// Only what is published is open, also to who knows the way.
	do(t, "ip", "-n", "far", "-6", "route", "add", "default", "via", "2001:db8::1")
	if page := fetch(t, true, address, "80"); strings.Contains(page, "root:") {
		t.Error("from outside to what is not published")
	}
}

// On macvlan and ipvlan a container is at home on the parent's network with both
// of its addresses.
func TestIPv6OnDirectNetworks(t *testing.T) {
	do(t, "systemctl", "start", "lus.socket")
	lus(t, "image", "import", "/opt/lus/busybox.tar", "busybox:latest")
	outside(t)
	for _, driver := range []string{"macvlan", "ipvlan"} {
		t.Run(driver, func(t *testing.T) {
			lus(t, "network", "create", "-d", driver, "-o", "parent=out0", "--ipv6",
				"--subnet", "203.0.113.0/24", "--ip-range", "203.0.113.128/25", "--gateway", "203.0.113.2",
				"--subnet", "2001:db8::/64", "--ip-range", "2001:db8::100/120", "--gateway", "2001:db8::2", "lan")
			t.Cleanup(func() { lus(t, "network", "rm", "lan") })
			started(t, "home", "--network", "lan", "busybox", "httpd", "-f", "-p", "[::]:80", "-h", "/etc")
			address := lus(t, "inspect", "-f", "{{.NetworkSettings.Networks.lan.GlobalIPv6Address}}", "home")
			if !strings.HasPrefix(address, "2001:db8::1") {
				t.Errorf("the address is %s", address)
			}
			eventually(t, "the page from a neighbour", func() bool { return strings.Contains(fetch(t, true, address, "80"), "root:") })
			out := lus(t, "run", "--rm", "--network", "lan", "busybox", "sh", "-ec",
				"ping -6 -c 1 -W 30 2001:db8::2; ping -6 -c 1 -W 30 home; nslookup -type=AAAA home 127.0.0.11")
			if !strings.Contains(out, address) {
				t.Errorf("no %s in the answer %s", address, out)
			}
		})
	}
}

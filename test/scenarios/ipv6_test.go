package scenarios

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"lus/test/need"
	"lus/test/stack"
)

// apart6 is a stack on a host of its own that has IPv6, with busybox.
func apart6(t *testing.T) *stack.Stack {
	t.Helper()
	need.Root(t)
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		need.Unmet(t, "IPv6 in the kernel")
	}
	s := stack.Idle(t)
	s.UpApart(t)
	s.ImportBusybox(t)
	return s
}

// neighbour6 is neighbour with IPv6: the daemon's host is 2001:db8::1, the
// neighbour 2001:db8::2.
func neighbour6(t *testing.T, s *stack.Stack) int {
	t.Helper()
	far := neighbour(t, s)
	s.Inside(t, "ip", "addr", "add", "2001:db8::1/64", "dev", "wan0", "nodad")
	inNet(t, far, "ip", "addr", "add", "2001:db8::2/64", "dev", "wan1", "nodad")
	return far
}

// inNet runs a program in the network of a process.
func inNet(t *testing.T, pid int, args ...string) {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(pid), "-n"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}

// pageFrom reads a page from the network of a process; empty where there is
// none. The connection is made on one thread: its network is what counts.
func pageFrom(pid int, url string) (page string) {
	_ = stack.InNet(pid, func() error {
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		c, err := net.DialTimeout("tcp", r.URL.Host, 2*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		r.Close = true
		if err := r.Write(c); err != nil {
			return err
		}
		answer, err := io.ReadAll(c)
		page = string(answer)
		return err
	})
	return page
}

const web6 = "mkdir -p /w; hostname > /w/name; exec httpd -f -p [::]:80 -h /w"

// On a network made with --ipv6 containers find and reach each other by IPv6,
// what they publish is reached by it from this host and from others, and another
// network's containers are not.
func TestContainersSpeakIPv6(t *testing.T) {
	t.Parallel()
	s := apart6(t)
	far := neighbour6(t, s)
	bridged(t, s, "0")
	s.OK(t, "network", "create", "--ipv6", "app")
	s.OK(t, "network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd00:77::/64", "--gateway", "fd00:77::9", "--ip-range", "fd00:77::100/120", "fixed")
	stack.Says(t, s.OK(t, "network", "ls", "--format", "{{.Name}} {{.IPv4}} {{.IPv6}}"), "app true true", "bridge true false")
	stack.Says(t, s.OK(t, "network", "inspect", "fixed", "--format", "{{.EnableIPv6}} {{json .IPAM.Config}}"), "true", `{"Subnet":"10.77.0.0/24","Gateway":"10.77.0.1"}`,
		`{"Subnet":"fd00:77::/64","IPRange":"fd00:77::100/120","Gateway":"fd00:77::9"}`)
	if chosen := s.OK(t, "network", "inspect", "app", "--format", "{{(index .IPAM.Config 1).Subnet}}"); !strings.HasPrefix(chosen, "fd") || !strings.HasSuffix(chosen, "/64") {
		t.Errorf("the subnet chosen is %s", chosen)
	}

	s.OK(t, "run", "-d", "--name", "web", "--hostname", "web", "--network", "app", "-p", "8080:80", "-p", "[::1]:8081:80", stack.Busybox, "sh", "-c", web6)
	s.Listens(t, "web", 80)
	address := s.OK(t, "inspect", "web", "--format", "{{.NetworkSettings.Networks.app.GlobalIPv6Address}}")
	stack.Says(t, s.OK(t, "inspect", "web", "--format", "{{with .NetworkSettings.Networks.app}}{{.GlobalIPv6PrefixLen}} {{.IPv6Gateway}}{{end}}"), "64 fd")
	stack.Says(t, s.OK(t, "network", "inspect", "app", "--format", "{{range .Containers}}{{.IPv6Address}}{{end}}"), address+"/64")
	stack.Says(t, s.OK(t, "ps", "--format", "{{.Ports}}"), "0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp", "[::1]:8081->80/tcp")
	stack.Says(t, s.OK(t, "port", "web"), "80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080")
	stack.Says(t, s.OK(t, "exec", "web", "cat", "/etc/hosts"), address+"\tweb")

	// By name, by both versions, and back.
	in := func(script string) string {
		return s.OK(t, "run", "--rm", "--network", "app", stack.Busybox, "sh", "-c", script)
	}
	stack.Says(t, in("nslookup -type=AAAA web 127.0.0.11; ping -6 -c 1 -W 5 web; wget -qO- http://["+address+"]/name"), address, "1 packets received", "web")
	stack.Says(t, in("nslookup "+address+" 127.0.0.11"), "name = web")
	if out := in("ip -6 addr show dev eth0"); strings.Contains(out, "tentative") {
		t.Errorf("an address is not ready at once:\n%s", out)
	}
	// Who has none of it hears that there is none, and nothing of a name that is not there.
	s.OK(t, "network", "create", "old")
	s.OK(t, "network", "connect", "old", "web")
	if out := s.Lus("run", "--rm", "--network", "old", stack.Busybox, "nslookup", "-type=AAAA", "web", "127.0.0.11").All(); strings.Contains(out, "NXDOMAIN") || strings.Contains(out, address) {
		t.Errorf("AAAA on a network without IPv6:\n%s", out)
	}

	for url, pid := range map[string]int{
		"http://[2001:db8::1]:8080/name": far, "http://203.0.113.1:8080/name": far,
		"http://[::1]:8080/name": s.DaemonPid(), "http://[::1]:8081/name": s.DaemonPid(), "http://[" + address + "]:80/name": s.DaemonPid(),
	} {
		if got := pageFrom(pid, url); !strings.HasSuffix(got, "\r\nweb\n") {
			t.Errorf("%s: %q", url, got)
		}
	}
	stack.Says(t, s.OK(t, "run", "--rm", "--network", "fixed", "--ip6", "fd00:77::77", stack.Busybox, "sh", "-c",
		"ip -6 addr; ip -6 route; timeout 3 wget -qO- 'http://["+address+"]/name' || echo apart; ping -6 -c 1 -W 5 2001:db8::2"),
		"fd00:77::77/64", "default via fd00:77::9", "apart", "1 packets received")

	stack.Says(t, s.Fail(t, 125, "run", "--rm", "-p", "[::1]:8082:80", stack.Busybox, "true"), "no IPv6 address", "--ipv6")
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "--network", "fixed", "--ip6", "fd00:99::1", stack.Busybox, "true"), "no configured subnet contains IP address fd00:99::1")
	stack.Says(t, s.Fail(t, 125, "run", "--rm", "--network", "app", "-p", "8080:80", stack.Busybox, "true"), "port is already allocated", "container web")
	s.OK(t, "rm", "-f", "web")
	s.OK(t, "run", "--rm", "--network", "app", "-p", "[::]:8080:80", "-p", "8080:80/udp", stack.Busybox, "true")
}

// bridged sets whether the daemon's host shows bridged packets to its rules.
func bridged(t *testing.T, s *stack.Stack, on string) {
	t.Helper()
	const path = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"
	s.Inside(t, "sh", "-c", "[ ! -e "+path+" ] || echo "+on+" > "+path)
}

// A container that runs is put on a network with IPv6 and taken off it; the way
// out, names and published ports follow. All of it outlives the daemon, and an
// end that its restart policy answers.
func TestIPv6ComesAndGoes(t *testing.T) {
	t.Parallel()
	s := apart6(t)
	far := neighbour6(t, s)
	s.OK(t, "network", "create", "old")
	s.OK(t, "network", "create", "--ipv6", "--subnet", "fd00:78::/64", "new")
	s.OK(t, "run", "-d", "--name", "web", "--hostname", "web", "--network", "old", "--restart", "always", "-p", "8080:80", "-p", "80", stack.Busybox, "sh", "-c", web6)
	s.Listens(t, "web", 80)
	reached := func(when string, want bool) {
		t.Helper()
		stack.Eventually(t, fmt.Sprintf("to be reached by IPv6 %s: %v", when, want), func() bool {
			return strings.HasSuffix(pageFrom(far, "http://[2001:db8::1]:8080/name"), "\nweb\n") == want
		})
		if got := pageFrom(far, "http://203.0.113.1:8080/name"); !strings.HasSuffix(got, "\nweb\n") {
			t.Errorf("%s: by IPv4: %q", when, got)
		}
	}
	reached("at first", false)
	s.OK(t, "network", "connect", "--ip6", "fd00:78::78", "new", "web")
	reached("connected", true)
	stack.Says(t, s.OK(t, "exec", "web", "ip", "-6", "addr"), "fd00:78::78/64")
	stack.Says(t, s.OK(t, "exec", "web", "cat", "/etc/hosts"), "fd00:78::78\tweb")
	ports := strings.Fields(s.OK(t, "inspect", "web", "--format", `{{range index .NetworkSettings.Ports "80/tcp"}}{{.HostPort}} {{end}}`))
	if len(ports) != 4 || ports[0] != ports[2] && ports[0] != ports[3] || ports[1] != ports[2] && ports[1] != ports[3] {
		t.Errorf("the ports of the two versions differ: %v", ports)
	}
	s.Kill()
	reached("without a daemon", true)
	s.UpApart(t)
	reached("with the next daemon", true)
	stack.Says(t, s.OK(t, "run", "--rm", "--network", "new", stack.Busybox, "nslookup", "-type=AAAA", "web", "127.0.0.11"), "fd00:78::78")

	before := s.OK(t, "inspect", "web", "--format", "{{.State.Pid}}")
	inNet(t, s.DaemonPid(), "kill", "-9", before)
	stack.Eventually(t, "another process", func() bool {
		pid := s.OK(t, "inspect", "web", "--format", "{{.State.Pid}}")
		return pid != before && pid != "0"
	})
	reached("started again", true)
	s.OK(t, "network", "disconnect", "new", "web")
	reached("disconnected", false)
	s.OK(t, "network", "connect", "new", "web")
	reached("connected again", true)
	s.OK(t, "network", "disconnect", "old", "web")
	reached("on the one network alone", true)
	s.OK(t, "rm", "-f", "web")
	stack.Says(t, s.OK(t, "network", "prune", "-f"), "new", "old")
	if out := s.Inside(t, "nft", "list", "ruleset", "ip6"); strings.Contains(out, "fd00:78") {
		t.Errorf("rules stay:\n%s", out)
	}
}

// A host's firewall that drops what is forwarded by IPv6 is told of, and the
// command that info shows is enough.
func TestIPv6AndTheHostsFirewall(t *testing.T) {
	t.Parallel()
	s := apart6(t)
	far := neighbour6(t, s)
	s.OK(t, "network", "create", "--ipv6", "app")
	s.OK(t, "run", "-d", "--name", "web", "--hostname", "web", "--network", "app", "-p", "8080:80", stack.Busybox, "sh", "-c", web6)
	s.Listens(t, "web", 80)
	reaches := func() bool { return strings.HasSuffix(pageFrom(far, "http://[2001:db8::1]:8080/name"), "\nweb\n") }
	stack.Eventually(t, "the page from another host", reaches)
	s.Inside(t, "nft", "add table ip6 filter; add chain ip6 filter forward { type filter hook forward priority filter; policy drop; }")
	stack.Eventually(t, "a warning", func() bool { return strings.Contains(s.Lus("info").Err, "to allow it run: ") })
	if reaches() {
		t.Fatal("the firewall does not drop; the test proves nothing")
	}
	_, command, _ := strings.Cut(strings.TrimSpace(s.Lus("info").Err), "to allow it run: ")
	s.Inside(t, "sh", "-c", command)
	stack.Eventually(t, "the page after: "+command, reaches)
	_, chain, ok := strings.Cut(s.OK(t, "info"), "User chain for IPv6: ")
	if !ok {
		t.Fatal("info names no chain for IPv6")
	}
	chain, _, _ = strings.Cut(chain, "\n")
	s.Inside(t, "sh", "-c", "nft add rule "+chain+" ip6 saddr 2001:db8::2 drop")
	if reaches() {
		t.Error("an address that was dropped comes through")
	}
	s.Inside(t, "sh", "-c", "nft flush chain "+chain)
	stack.Eventually(t, "the page again", reaches)
}

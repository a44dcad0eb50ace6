package scenarios

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"lus/test/stack"
)

// neighbour is another host on a link with the daemon's: the daemon's is
// 203.0.113.1, the neighbour has .2 and .3. It is known by a process in it.
func neighbour(t *testing.T, s *stack.Stack) int {
	t.Helper()
	cmd := exec.Command("unshare", "-n", "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := cmd.Process.Pid
	mine, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, "a namespace", func() bool {
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		return err == nil && its != mine
	})
	s.Inside(t, "ip", "link", "add", "wan0", "type", "veth", "peer", "name", "wan1", "netns", fmt.Sprint(pid))
	s.Inside(t, "ip", "addr", "add", "203.0.113.1/24", "dev", "wan0")
	s.Inside(t, "ip", "link", "set", "wan0", "up")
	err = stack.InNet(pid, func() error {
		out, err := exec.Command("sh", "-ec", "ip addr add 203.0.113.2/24 dev wan1; ip addr add 203.0.113.3/24 dev wan1; ip link set wan1 up").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// On a host whose firewall drops what is forwarded, `lus info` shows the
// command that lets containers through, and that command is enough. What an
// administrator then drops in the chain that info names stays out, whatever
// becomes of the daemon; others come through.
func TestPublishedPortsAndTheHostsFirewall(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	s.UpApart(t)
	s.ImportBusybox(t)
	s.OK(t, "run", "-d", "--name", "web", "-p", "8080:80", stack.Busybox, "httpd", "-f", "-h", "/etc")
	far := neighbour(t, s)
	reaches := func(from string) func() bool {
		return func() bool {
			return stack.InNet(far, func() error {
				d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
				c, err := d.Dial("tcp4", "203.0.113.1:8080")
				if err == nil {
					err = c.Close()
				}
				return err
			}) == nil
		}
	}
	stack.Eventually(t, "the page from another host", reaches("203.0.113.2"))

	s.Inside(t, "nft", "add table inet filter; add chain inet filter forward { type filter hook forward priority filter; policy drop; }")
	stack.Eventually(t, "a warning", func() bool { return strings.Contains(s.Lus("info").Err, "to allow it run: ") })
	if reaches("203.0.113.2")() {
		t.Fatal("the firewall does not drop; the test proves nothing")
	}
	warning := s.Lus("info").Err
	_, command, _ := strings.Cut(strings.TrimSpace(warning), "to allow it run: ")
	s.Inside(t, "sh", "-c", command)
	stack.Eventually(t, "the page after: "+command, reaches("203.0.113.2"))
	stack.Eventually(t, "no warning", func() bool { return !strings.Contains(s.Lus("info").Err, "to allow it run: ") })

	_, chain, ok := strings.Cut(s.OK(t, "info"), "User chain: ")
	if !ok {
		t.Fatal("info names no chain")
	}
	chain, _, _ = strings.Cut(chain, "\n")
	s.Inside(t, "sh", "-c", "nft add rule "+chain+" ip saddr 203.0.113.2 drop")
	filtered := func(when string) {
		t.Helper()
		stack.Eventually(t, "the page from an address that nobody dropped, "+when, reaches("203.0.113.3"))
		if reaches("203.0.113.2")() {
			t.Errorf("%s: an address that was dropped comes through", when)
		}
	}
	filtered("at once")
	s.Kill()
	filtered("without a daemon")
	s.UpApart(t)
	filtered("with the next daemon")
}

package network_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/ids"
	"lus/internal/base/thread"
	"lus/internal/linux/network"
	model "lus/internal/model/network"
)

// hostNS is opened before any thread has gone elsewhere.
var hostNS *os.File

const inHost = "LUS_NETWORK_TEST_HOST"

// TestMain runs the tests in a network namespace of their own, which plays the
// host: nothing here touches the machine's interfaces or rules.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(inHost) != "" {
		if os.Getenv(inHost) != "" {
			mustRun("mount", "--make-rprivate", "/")
			mustRun("ip", "link", "set", "lo", "up")
			var err error
			if hostNS, err = os.Open("/proc/thread-self/ns/net"); err != nil {
				panic(err)
			}
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inHost+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func mustRun(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		panic(fmt.Sprintf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out))
	}
	return string(out)
}

// run runs a program and fails the test where it fails.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getenv(inHost) == "" {
		t.Skip("needs root: run it with sudo")
	}
}

// ns is a network namespace: a container, or another host.
type ns struct{ *os.File }

// newNS makes one with its loopback up.
func newNS(t testing.TB) ns {
	t.Helper()
	var f *os.File
	if err := thread.Apart(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err = exec.Command("ip", "link", "set", "lo", "up").Run(); err != nil {
			return err
		}
		f, err = os.Open("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		t.Fatal("making a namespace: ", err)
	}
	t.Cleanup(func() { f.Close() })
	return ns{f}
}

// do runs fn on a thread in the namespace.
func (n ns) do(fn func() error) error {
	return thread.Apart(func() error {
		if err := unix.Setns(int(n.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return fn()
	})
}

// sh runs a program in the namespace.
func (n ns) sh(t testing.TB, name string, args ...string) string {
	t.Helper()
	var out []byte
	err := n.do(func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// serve answers on a TCP and a UDP port of the namespace with "name peer".
func (n ns) serve(t testing.TB, name string, port uint16) {
	t.Helper()
	var l net.Listener
	var p net.PacketConn
	at := fmt.Sprintf(":%d", port)
	err := n.do(func() (err error) {
		if l, err = net.Listen("tcp", at); err == nil {
			p, err = net.ListenPacket("udp", at)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprintf(c, "%s %s", name, host)
			c.Close()
		}
	})
	wg.Go(func() {
		buf := make([]byte, 512)
		for {
			_, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(from.String())
			_, _ = p.WriteTo([]byte(name+" "+host), from)
		}
	})
	t.Cleanup(func() { l.Close(); p.Close(); wg.Wait() })
}

// patience is how long nobody answers who is not to; long, how long an answer may
// take that is to come.
const (
	patience = 1500 * time.Millisecond
	long     = 2 * time.Minute
)

// ask connects from the namespace and returns what the server says.
func (n ns) ask(proto, at string) (answer string, err error) {
	err = n.do(func() error {
		c, err := net.DialTimeout(proto, at, patience)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if proto == "udp" {
			buf := make([]byte, 512)
			for range 3 { // the first may be lost while the bridge learns
				_, _ = c.Write([]byte("?"))
				_ = c.SetReadDeadline(time.Now().Add(patience / 3))
				n, rerr := c.Read(buf)
				if rerr == nil {
					answer = string(buf[:n])
					return nil
				}
				err = rerr
			}
			return err
		}
		b, err := io.ReadAll(c)
		answer = string(b)
		if err == nil && answer == "" {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
	return answer, err
}

// answers asks until there is an answer, which may take long on a busy machine.
func (n ns) answers(proto, at string) (answer string, err error) {
	for end := time.Now().Add(long); ; {
		if answer, err = n.ask(proto, at); err == nil || time.Now().After(end) {
			return answer, err
		}
	}
}

// host is the namespace the tests run in.
func host() ns { return ns{hostNS} }

// lan joins the host with another one, and returns it: the host is 10.99.0.1 and
// fd99::1, the remote 10.99.0.2 and fd99::2, which is also its way to the rest of
// the world.
func lan(t testing.TB) ns {
	t.Helper()
	remote := newNS(t)
	run(t, "ip", "link", "add", "wan0", "mtu", "1400", "type", "veth", "peer", "name", "wan1")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "wan0").Run() })
	moveLink(t, "wan1", remote)
	run(t, "ip", "addr", "add", "10.99.0.1/24", "dev", "wan0")
	run(t, "ip", "link", "set", "wan0", "up")
	run(t, "ip", "route", "add", "default", "via", "10.99.0.2")
	run(t, "ip", "addr", "add", "fd99::1/64", "dev", "wan0", "nodad")
	remote.sh(t, "ip", "addr", "add", "fd99::2/64", "dev", "wan1", "nodad")
	remote.sh(t, "ip", "addr", "add", "10.99.0.2/24", "dev", "wan1")
	remote.sh(t, "ip", "link", "set", "wan1", "up")
	return remote
}

// moveLink puts an interface of the host into a namespace.
func moveLink(t testing.TB, name string, to ns) {
	t.Helper()
	run(t, "ip", "link", "set", name, "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), to.Fd()))
}

// state is everything of the host that a Manager may change.
func state(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	for _, args := range [][]string{{"ip", "-o", "link"}, {"ip", "-o", "addr"}, {"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"}, {"nft", "list", "ruleset"}} {
		for _, line := range strings.Split(run(t, args[0], args[1:]...), "\n") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// leavesNothing fails the test if the host differs at its end.
func leavesNothing(t testing.TB) {
	t.Helper()
	before := state(t)
	t.Cleanup(func() {
		after := state(t)
		for end := time.Now().Add(long); time.Now().Before(end); { // dead namespaces are cleaned up by the kernel in its own time
			if after == before {
				return
			}
			time.Sleep(50 * time.Millisecond)
			after = state(t)
		}
		t.Errorf("something was left behind\n--- before\n%s\n--- after\n%s", before, after)
	})
}

// newManager makes a Manager with an instance of its own.
func newManager(t testing.TB, change ...func(*network.Config)) *network.Manager {
	t.Helper()
	cfg := network.Config{Instance: ids.New()[:6], LockDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, c := range change {
		c(&cfg)
	}
	m, err := network.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Teardown(context.Background()); err != nil {
			t.Error("teardown:", err)
		}
		m.Close()
	})
	return m
}

// newNetwork makes a network of the Manager.
func newNetwork(t testing.TB, m *network.Manager, change ...func(*model.Network)) *model.Network {
	t.Helper()
	n := &model.Network{ID: ids.New(), Driver: "bridge"}
	n.Name = "net-" + n.ID[:4]
	for _, c := range change {
		c(n)
	}
	if err := m.Ensure(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

// box is a container as far as networks go.
type box struct {
	ns
	id  string
	ip  netip.Addr
	eps []network.Endpoint
}

// newBox makes a container on the networks, and a server on port 80 in it.
func newBox(t testing.TB, m *network.Manager, name string, nets ...*model.Network) *box {
	t.Helper()
	b := &box{ns: newNS(t), id: ids.New()}
	for i, n := range nets {
		a, err := m.Reserve(t.Context(), n.ID, b.id, network.Wanted{})
		if err != nil {
			t.Fatal(err)
		}
		b.eps = append(b.eps, network.Endpoint{NetworkID: n.ID, ContainerID: b.id, IfName: fmt.Sprintf("eth%d", i), Address: a, Default: i == 0, Default6: i == 0})
	}
	b.ip = b.eps[0].IP.Addr()
	if err := m.Attach(t.Context(), b.File, b.eps...); err != nil {
		t.Fatal(err)
	}
	b.serve(t, name, 80)
	return b
}

// way leads published ports to an address of IPv4.
func way(networkID string, ip netip.Addr) network.Ways {
	return network.Ways{V4: network.Way{NetworkID: networkID, IP: ip}}
}

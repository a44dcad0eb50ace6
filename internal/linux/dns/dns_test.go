package dns_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"lus/internal/base/thread"
	"lus/internal/linux/dns"
	"lus/internal/linux/dns/server"
	"lus/test/need"
)

// asProgram makes the test binary be lus-dns: the tests start it as the daemon does.
const asProgram = "lus-dns"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == asProgram {
		os.Exit(server.Main(os.Args[1:], os.Stderr))
	}
	os.Exit(m.Run())
}

// start runs lus-dns as a process of its own and connects to it.
func start(t testing.TB) (c *dns.Client, socket, binary string) {
	t.Helper()
	need.Root(t)
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, asProgram)
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, program, 0o755); err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "dns.sock")
	c, err = dns.Ensure(t.Context(), socket, binary, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		last, err := dns.Connect(context.Background(), socket)
		if err != nil {
			return // the test has ended it
		}
		_ = last.Stop(context.Background())
		<-last.Done()
		last.Close()
	})
	return c, socket, binary
}

// newNS is a container's network namespace; its loopback is up.
func newNS(t testing.TB) *os.File {
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
		t.Fatal("cannot make a network namespace: ", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// inside runs fn on a thread in the namespace.
func inside(ns *os.File, fn func() error) error {
	return thread.Apart(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return fn()
	})
}

// ask sends one question from the namespace to 127.0.0.11.
func ask(ns *os.File, proto, name string, kind uint16) (a *mdns.Msg, err error) {
	q := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), kind)
	err = inside(ns, func() error {
		conn, err := net.DialTimeout(proto, dns.Address+":53", time.Minute)
		if err != nil {
			return err
		}
		defer conn.Close()
		co := &mdns.Conn{Conn: conn}
		_ = co.SetDeadline(time.Now().Add(30 * time.Second))
		if err := co.WriteMsg(q); err != nil {
			return err
		}
		a, err = co.ReadMsg()
		return err
	})
	return a, err
}

// values are an answer's records without their heads.
func values(a *mdns.Msg) []string {
	var out []string
	for _, rr := range a.Answer {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return out
}

// upstream is a name server of the host's namespace that knows one name by
// UDP, and one whose answer is too long for it.
func upstream(t *testing.T, asked *atomic.Int32) string {
	t.Helper()
	p, l, err := bothPorts()
	if err != nil {
		t.Fatal(err)
	}
	handler := mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		asked.Add(1)
		a := new(mdns.Msg).SetReply(q)
		switch name := strings.ToLower(q.Question[0].Name); {
		case name == "example.test.":
			rr, _ := mdns.NewRR(name + " 60 IN A 192.0.2.7")
			a.Answer = append(a.Answer, rr)
		case name == "long.test.":
			for i := range 60 {
				rr, _ := mdns.NewRR(fmt.Sprintf("%s 60 IN A 192.0.2.%d", name, i))
				a.Answer = append(a.Answer, rr)
			}
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				a.Truncate(512)
			}
		default:
			a.Rcode = mdns.RcodeNameError
		}
		_ = w.WriteMsg(a)
	})
	var wg sync.WaitGroup
	servers := []*mdns.Server{{PacketConn: p, Handler: handler}, {Listener: l, Handler: handler}}
	for _, s := range servers {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		wg.Go(func() { _ = s.ActivateAndServe() })
		<-up
	}
	t.Cleanup(func() {
		for _, s := range servers {
			_ = s.Shutdown()
		}
		wg.Wait()
	})
	return p.LocalAddr().String()
}

// bothPorts are sockets of UDP and TCP on one port: what is free by the one may
// be somebody's by the other.
func bothPorts() (p net.PacketConn, l net.Listener, err error) {
	for range 100 {
		if p, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		if l, err = net.Listen("tcp4", p.LocalAddr().String()); err == nil {
			return p, l, nil
		}
		_ = p.Close()
	}
	return nil, nil, err
}

func ips(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestNames(t *testing.T) {
	c, _, _ := start(t)
	defer c.Close()
	var asked atomic.Int32
	up := upstream(t, &asked)
	ns := newNS(t)
	if err := c.Serve(t.Context(), "web", ns, []string{"front", "back"}, []string{up}); err != nil {
		t.Fatal(err)
	}
	for network, names := range map[string]map[string][]netip.Addr{
		"front": {"web": ips("172.18.0.2", "fd00:18::2"), "Proxy.Example": ips("172.18.0.3"), "0123456789ab": ips("172.18.0.2")},
		"back":  {"db": ips("172.19.0.2")},
		"other": {"secret": ips("172.20.0.2")},
	} {
		if err := c.SetNames(t.Context(), network, names); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name  string
		kind  uint16
		rcode int
		want  string
	}{
		{"web", mdns.TypeA, mdns.RcodeSuccess, "172.18.0.2"},
		{"WeB", mdns.TypeA, mdns.RcodeSuccess, "172.18.0.2"},
		{"proxy.example", mdns.TypeA, mdns.RcodeSuccess, "172.18.0.3"},
		{"db", mdns.TypeA, mdns.RcodeSuccess, "172.19.0.2"},
		{"db", mdns.TypeAAAA, mdns.RcodeSuccess, ""},
		{"db", mdns.TypeMX, mdns.RcodeSuccess, ""},
		{"secret", mdns.TypeA, mdns.RcodeNameError, ""},
		{"2.0.18.172.in-addr.arpa", mdns.TypePTR, mdns.RcodeSuccess, "web."},
		{"web", mdns.TypeAAAA, mdns.RcodeSuccess, "fd00:18::2"},
		{"proxy.example", mdns.TypeAAAA, mdns.RcodeSuccess, ""},
		{"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.1.0.0.0.0.d.f.ip6.arpa", mdns.TypePTR, mdns.RcodeSuccess, "web."},
		{"3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.1.0.0.0.0.d.f.ip6.arpa", mdns.TypePTR, mdns.RcodeNameError, ""},
		{"2.0.20.172.in-addr.arpa", mdns.TypePTR, mdns.RcodeNameError, ""},
		{"example.test", mdns.TypeA, mdns.RcodeSuccess, "192.0.2.7"},
		{"nowhere.test", mdns.TypeA, mdns.RcodeNameError, ""},
	} {
		for _, proto := range []string{"udp4", "tcp4"} {
			a, err := ask(ns, proto, tc.name, tc.kind)
			if err != nil {
				t.Errorf("%s %s by %s: %v", tc.name, mdns.TypeToString[tc.kind], proto, err)
				continue
			}
			if got := strings.Join(values(a), " "); got != tc.want || a.Rcode != tc.rcode {
				t.Errorf("%s %s by %s: %q, %s; want %q, %s", tc.name, mdns.TypeToString[tc.kind], proto,
					got, mdns.RcodeToString[a.Rcode], tc.want, mdns.RcodeToString[tc.rcode])
			}
		}
	}
}

func TestSeveralAddressesTakeTurns(t *testing.T) {
	c, _, _ := start(t)
	defer c.Close()
	ns := newNS(t)
	if err := c.Serve(t.Context(), "a", ns, []string{"n"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.SetNames(t.Context(), "n", map[string][]netip.Addr{"api": ips("10.1.0.2", "10.1.0.3", "10.1.0.4")}); err != nil {
		t.Fatal(err)
	}
	first := map[string]int{}
	for range 6 {
		a, err := ask(ns, "udp4", "api", mdns.TypeA)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Answer) != 3 {
			t.Fatalf("%d addresses, want all three", len(a.Answer))
		}
		first[values(a)[0]]++
	}
	for ip, n := range first {
		if n != 2 {
			t.Errorf("%s came first %d times of six, want 2: %v", ip, n, first)
		}
	}
}

func TestTruncatedAnswersComeWholeByTCP(t *testing.T) {
	c, _, _ := start(t)
	defer c.Close()
	var asked atomic.Int32
	ns := newNS(t)
	if err := c.Serve(t.Context(), "a", ns, nil, []string{upstream(t, &asked)}); err != nil {
		t.Fatal(err)
	}
	short, err := ask(ns, "udp4", "long.test", mdns.TypeA)
	if err != nil || !short.Truncated {
		t.Errorf("by UDP: truncated %v, %v", short != nil && short.Truncated, err)
	}
	long, err := ask(ns, "tcp4", "long.test", mdns.TypeA)
	if err != nil || len(long.Answer) != 60 {
		t.Errorf("by TCP: %v, %v", long, err)
	}
}

func TestNoUpstreamAnswersIsAFailureAndTheNextOneIsTried(t *testing.T) {
	c, _, _ := start(t)
	defer c.Close()
	var asked atomic.Int32
	closed := "127.0.0.1:9" // refuses at once
	none, second := newNS(t), newNS(t)
	if err := c.Serve(t.Context(), "none", none, nil, []string{closed}); err != nil {
		t.Fatal(err)
	}
	if err := c.Serve(t.Context(), "second", second, nil, []string{closed, upstream(t, &asked)}); err != nil {
		t.Fatal(err)
	}
	if a, err := ask(none, "udp4", "example.test", mdns.TypeA); err != nil || a.Rcode != mdns.RcodeServerFailure {
		t.Errorf("no server: %v, %v; want SERVFAIL", a, err)
	}
	if a, err := ask(second, "udp4", "example.test", mdns.TypeA); err != nil || len(a.Answer) != 1 {
		t.Errorf("the second server was not asked: %v, %v", a, err)
	}
}

// Containers that ask as much as they can, of servers that never answer, keep
// nobody else from getting answers.
func TestAFewContainersDoNotUseUpWhatIsForAll(t *testing.T) {
	c, _, _ := start(t)
	defer c.Close()
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const greedy, each, most = 9, 100, 512 // so many may wait at once
	full := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for range most {
			if _, _, err := silent.ReadFrom(make([]byte, 512)); err != nil {
				return
			}
		}
		close(full)
	})
	defer reader.Wait()
	defer silent.Close()
	for i := range greedy {
		ns := newNS(t)
		if err := c.Serve(t.Context(), fmt.Sprint("greedy", i), ns, nil, []string{silent.LocalAddr().String()}); err != nil {
			t.Fatal(err)
		}
		if err := inside(ns, func() error {
			conn, err := net.Dial("udp4", dns.Address+":53")
			if err != nil {
				return err
			}
			defer conn.Close()
			for j := range each {
				q, err := new(mdns.Msg).SetQuestion(fmt.Sprintf("x%d.test.", j), mdns.TypeA).Pack()
				if err == nil {
					_, err = conn.Write(q)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-full:
	case <-time.After(time.Minute):
		t.Fatal("they are not asked for as much as there may be")
	}
	var asked atomic.Int32
	modest := newNS(t)
	if err := c.Serve(t.Context(), "modest", modest, nil, []string{upstream(t, &asked)}); err != nil {
		t.Fatal(err)
	}
	if a, err := ask(modest, "udp4", "example.test", mdns.TypeA); err != nil || len(a.Answer) != 1 {
		t.Errorf("one question of another container: %v, %v", a, err)
	}
}

// The daemon's connection ends as by kill -9; names resolve on, and a new
// daemon finds what is served.
func TestNamesResolveWithoutTheDaemon(t *testing.T) {
	c, socket, binary := start(t)
	ns, late := newNS(t), newNS(t)
	if err := c.Serve(t.Context(), "app", ns, []string{"n"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.SetNames(t.Context(), "n", map[string][]netip.Addr{"db": ips("10.1.0.9")}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if a, err := ask(ns, "udp4", "db", mdns.TypeA); err != nil || len(a.Answer) != 1 {
		t.Fatalf("without the daemon: %v, %v", a, err)
	}
	c, err := dns.Ensure(t.Context(), socket, binary, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := c.List(t.Context()); err != nil || !slices.Equal(got, []string{"app"}) {
		t.Errorf("served: %v, %v", got, err)
	}
	if err := c.Serve(t.Context(), "app", ns, []string{"m"}, nil); err != nil {
		t.Errorf("serving again: %v", err)
	}
	if err := c.SetNames(t.Context(), "m", map[string][]netip.Addr{"cache": ips("10.2.0.9")}); err != nil {
		t.Fatal(err)
	}
	if a, err := ask(ns, "udp4", "cache", mdns.TypeA); err != nil || len(a.Answer) != 1 {
		t.Errorf("the new network's names: %v, %v", a, err)
	}
	if err := c.Drop(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if err := c.Serve(t.Context(), "late", late, []string{"n"}, nil); err != nil {
		t.Errorf("after a drop: %v", err)
	}
	if got, _ := c.List(t.Context()); !slices.Equal(got, []string{"late"}) {
		t.Errorf("served: %v", got)
	}
}

func TestTheClientNoticesTheEnd(t *testing.T) {
	c, socket, binary := start(t)
	defer c.Close()
	if err := unix.Kill(c.Pid(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	again, err := dns.Ensure(t.Context(), socket, binary, "")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, err := again.List(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("a new one serves %v, %v", got, err)
	}
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v; want 0600", st.Mode().Perm(), err)
	}
}

// Whoever goes away while something is asked for it takes the connection from
// nobody else.
func TestACancelledCallIsOnlyItsOwn(t *testing.T) {
	c, _, _ := start(t)
	for range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			cancel()
			close(gone)
		}()
		_ = c.SetNames(ctx, "net", map[string][]netip.Addr{"web": {netip.MustParseAddr("192.0.2.1")}})
		<-gone
		if _, err := c.List(t.Context()); err != nil {
			t.Fatalf("another call: %v", err)
		}
	}
}

// Malformed questions get no answer and do no harm; so does a flood.
func TestHostileQuestions(t *testing.T) {
	c, _, _ := start(t)
	defer c.Close()
	ns := newNS(t)
	if err := c.Serve(t.Context(), "a", ns, []string{"n"}, []string{"127.0.0.1:9"}); err != nil {
		t.Fatal(err)
	}
	if err := c.SetNames(t.Context(), "n", map[string][]netip.Addr{"db": ips("10.1.0.9")}); err != nil {
		t.Fatal(err)
	}
	good, _ := new(mdns.Msg).SetQuestion("db.", mdns.TypeA).Pack()
	answer := slices.Clone(good)
	answer[2] |= 0x80
	loop := append(slices.Clone(good[:12]), 0xc0, 12, 0, 1, 0, 1)
	many := slices.Clone(good)
	binary.BigEndian.PutUint16(many[4:], 0xffff)
	err := inside(ns, func() error {
		conn, err := net.Dial("udp4", dns.Address+":53")
		if err != nil {
			return err
		}
		defer conn.Close()
		for _, b := range [][]byte{{}, {1}, good[:11], good[:len(good)-1], answer, loop, many, make([]byte, 5000), []byte(strings.Repeat("\xff", 600))} {
			_, _ = conn.Write(b)
		}
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 600)); err == nil {
			return fmt.Errorf("a malformed question got %d bytes", n)
		}
		for range 5000 {
			_, _ = conn.Write(good)
		}
		// Connections that say nothing, or half of something, are bounded.
		for range 100 {
			tcp, err := net.Dial("tcp4", dns.Address+":53")
			if err != nil {
				break
			}
			defer tcp.Close()
			_, _ = tcp.Write([]byte{0xff, 0xff, 1})
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	var a *mdns.Msg
	for range 10 { // the flood may have filled the socket
		if a, err = ask(ns, "udp4", "db", mdns.TypeA); err == nil {
			break
		}
	}
	if err != nil || len(a.Answer) != 1 {
		t.Errorf("after hostile questions: %v, %v", a, err)
	}
}

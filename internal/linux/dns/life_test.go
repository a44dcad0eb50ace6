package dns_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"

	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"lus/internal/linux/dns"
)

// TestThereAreNoDescriptorsForAWhile, as containers may see to that open
// connections: a daemon that comes then waits, and names resolve all the while.
func TestThereAreNoDescriptorsForAWhile(t *testing.T) {
	c, socket, _ := start(t)
	defer c.Close()
	ns := newNS(t)
	if err := c.Serve(t.Context(), "app", ns, []string{"n"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.SetNames(t.Context(), "n", map[string][]netip.Addr{"db": ips("10.1.0.9")}); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/" + strconv.Itoa(c.Pid()) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	var had unix.Rlimit
	if err := unix.Prlimit(c.Pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(len(open)), Max: 4096}, &had); err != nil {
		t.Fatal(err)
	}
	type connected struct {
		*dns.Client
		err error
	}
	came := make(chan connected)
	go func() {
		c, err := dns.Connect(t.Context(), socket)
		came <- connected{c, err}
	}()
	for range 20 {
		if a, err := ask(ns, "udp4", "db", mdns.TypeA); err != nil || len(a.Answer) != 1 {
			t.Fatalf("meanwhile: %v, %v", a, err)
		}
	}
	if err := unix.Prlimit(c.Pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4096, Max: 4096}, nil); err != nil {
		t.Fatal(err)
	}
	second := <-came
	if second.err != nil {
		t.Fatalf("who came meanwhile: %v", second.err)
	}
	defer second.Close()
	if got, err := second.List(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("served: %v, %v", got, err)
	}
}

// TestAStopTakesThePathFirst: whoever finds nobody behind the socket's path takes
// it at once, and must not have it taken away by the one who has just stopped.
func TestAStopTakesThePathFirst(t *testing.T) {
	for range 10 {
		c, socket, _ := start(t)
		if err := c.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		for {
			conn, err := net.Dial("unix", socket)
			if errors.Is(err, unix.ENOENT) {
				break
			}
			if errors.Is(err, unix.ECONNREFUSED) {
				t.Fatalf("the path is there, and nobody behind it")
			}
			if err == nil {
				conn.Close()
			}
		}
		c.Close()
	}
}

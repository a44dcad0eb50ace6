package dns_test

import (
	"net"
	"net/netip"
	"testing"

	mdns "github.com/miekg/dns"
)

// A container may be a name server itself: it binds port 53 of all addresses,
// and asks 127.0.0.11 like any other.
func TestAContainerMayServeNamesItself(t *testing.T) {
	c, _, _ := start(t)
	defer c.Close()
	ns := newNS(t)
	if err := c.Serve(t.Context(), "bind", ns, []string{"n"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.SetNames(t.Context(), "n", map[string][]netip.Addr{"db": ips("10.1.0.9")}); err != nil {
		t.Fatal(err)
	}
	err := inside(ns, func() error {
		p, err := net.ListenPacket("udp4", "0.0.0.0:53")
		if err != nil {
			return err
		}
		t.Cleanup(func() { p.Close() })
		l, err := net.Listen("tcp4", "0.0.0.0:53")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		return nil
	})
	if err != nil {
		t.Errorf("its own port 53: %v", err)
	}
	if err := c.Serve(t.Context(), "bind", ns, []string{"n"}, nil); err != nil {
		t.Errorf("serving it again: %v", err)
	}
	for _, proto := range []string{"udp4", "tcp4"} {
		if a, err := ask(ns, proto, "db", mdns.TypeA); err != nil || len(a.Answer) != 1 {
			t.Errorf("by %s: %v, %v", proto, a, err)
		}
	}
}

// BenchmarkServe is what the name service adds to a start.
func BenchmarkServe(b *testing.B) {
	c, _, _ := start(b)
	defer c.Close()
	for b.Loop() {
		b.StopTimer()
		ns := newNS(b)
		b.StartTimer()
		if err := c.Serve(b.Context(), "a", ns, []string{"n"}, nil); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = c.Drop(b.Context(), "a")
		_ = ns.Close()
		b.StartTimer()
	}
}

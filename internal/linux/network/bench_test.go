package network_test

import (
	"net"
	"testing"

	"lus/internal/base/ids"
	"lus/internal/linux/network"
	"lus/internal/model/container"
)

// BenchmarkAttach is one cable with address and route into a new namespace.
func BenchmarkAttach(b *testing.B) {
	needRoot(b)
	lan(b)
	m := newManager(b)
	n := newNetwork(b, m)
	for b.Loop() {
		b.StopTimer()
		c, id := newNS(b), ids.New()
		a, err := m.Reserve(b.Context(), n.ID, id, network.Wanted{})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		err = m.Attach(b.Context(), c.File, network.Endpoint{NetworkID: n.ID, ContainerID: id, IfName: "eth0", Address: a, Default: true})
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		_ = m.Detach(b.Context(), n.ID, id)
		_ = m.Release(b.Context(), n.ID, id)
		c.Close()
		b.StartTimer()
	}
}

// BenchmarkFirstConnection is from Attach's return to a connection that the
// container makes to the host: what the bridge needs to learn is in it.
func BenchmarkFirstConnection(b *testing.B) {
	needRoot(b)
	m := newManager(b)
	n := newNetwork(b, m)
	l, err := net.Listen("tcp4", "0.0.0.0:9100")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for b.Loop() {
		b.StopTimer()
		c, id := newNS(b), ids.New()
		a, err := m.Reserve(b.Context(), n.ID, id, network.Wanted{})
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Attach(b.Context(), c.File, network.Endpoint{NetworkID: n.ID, ContainerID: id, IfName: "eth0", Address: a, Default: true}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		err = c.do(func() error {
			conn, err := net.DialTimeout("tcp4", a.Gateway.String()+":9100", patience)
			if err == nil {
				conn.Close()
			}
			return err
		})
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		_ = m.Detach(b.Context(), n.ID, id)
		_ = m.Release(b.Context(), n.ID, id)
		c.Close()
		b.StartTimer()
	}
}

// BenchmarkPublish is one port taken and given back.
func BenchmarkPublish(b *testing.B) {
	needRoot(b)
	m := newManager(b)
	n := newNetwork(b, m)
	id := ids.New()
	a, err := m.Reserve(b.Context(), n.ID, id, network.Wanted{})
	if err != nil {
		b.Fatal(err)
	}
	for name, spec := range map[string]string{"tcp": "8080:80", "udp": "8080:80/udp"} {
		p, err := container.ParsePublish(spec)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := m.Publish(b.Context(), id, way(n.ID, a.IP.Addr()), p); err != nil {
					b.Fatal(err)
				}
				if err := m.Unpublish(b.Context(), id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package network_test

import (
	"net/netip"
	"testing"

	"lus/internal/linux/network"
	"lus/internal/model/container"
	model "lus/internal/model/network"
)

func publish(t testing.TB, m *network.Manager, b *box, specs ...string) container.PortMap {
	t.Helper()
	got, err := m.Publish(t.Context(), b.id, way(b.eps[0].NetworkID, b.ip), ports(t, specs...))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func ports(t testing.TB, specs ...string) []container.PublishedPort {
	t.Helper()
	var out []container.PublishedPort
	for _, s := range specs {
		p, err := container.ParsePublish(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p...)
	}
	return out
}

// TestReach is the matrix of who reaches whom, by TCP and by UDP.
func TestReach(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	h := host()
	m := newManager(t)
	netA, netB := newNetwork(t, m), newNetwork(t, m)
	inner := newNetwork(t, m, func(n *model.Network) { n.Internal = true })
	quiet := newNetwork(t, m, func(n *model.Network) {
		n.Options = map[string]string{"com.docker.network.bridge.enable_icc": "false"}
	})
	a1, a2 := newBox(t, m, "a1", netA), newBox(t, m, "a2", netA)
	b1 := newBox(t, m, "b1", netB)
	both := newBox(t, m, "both", netA, netB)
	i1, i2 := newBox(t, m, "i1", inner), newBox(t, m, "i2", inner)
	q1, q2 := newBox(t, m, "q1", quiet), newBox(t, m, "q2", quiet)
	publish(t, m, a1, "8080:80", "8080:80/udp")
	publish(t, m, b1, "127.0.0.1:8081:80", "127.0.0.1:8081:80/udp")
	h.serve(t, "host", 9000)
	gatewayA := netip.MustParsePrefix(netA.IPAM.Config[0].Subnet).Addr().Next().String()
	at := func(b *box, port string) string { return b.ip.String() + ":" + port }

	for _, c := range []struct {
		who    string
		from   ns
		to     string
		answer string // empty: nothing may answer
	}{
		{"host to a container", h, at(a1, "80"), "a1 " + gatewayA},
		{"host to its own address", h, "10.99.0.1:8080", "a1 10.99.0.1"},
		{"host to 127.0.0.1", h, "127.0.0.1:8080", "a1 " + gatewayA},
		{"host to 127.0.0.1 where only that is published", h, "127.0.0.1:8081", "b1 *"},
		{"host to another address than the published one", h, "10.99.0.1:8081", ""},
		{"container to its neighbour", a2.ns, at(a1, "80"), "a1 " + a2.ip.String()},
		{"container through the host to its neighbour", a2.ns, "10.99.0.1:8080", "a1 " + gatewayA},
		{"container through the host to itself", a1.ns, "10.99.0.1:8080", "a1 " + gatewayA},
		{"container through its gateway to itself", a1.ns, gatewayA + ":8080", "a1 " + gatewayA},
		{"container of another network through the host", b1.ns, "10.99.0.1:8080", "a1 *"},
		{"container of another network directly", b1.ns, at(a1, "80"), ""},
		{"container on both networks", b1.ns, both.eps[1].IP.Addr().String() + ":80", "both " + b1.ip.String()},
		{"remote host, with its address kept", remote, "10.99.0.1:8080", "a1 10.99.0.2"},
		{"remote host to a port published on 127.0.0.1", remote, "10.99.0.1:8081", ""},
		{"container to the outside", a1.ns, "10.99.0.2:80", "remote 10.99.0.1"},
		{"container to a service of the host", a1.ns, gatewayA + ":9000", "host " + a1.ip.String()},
		{"internal to the outside", i1.ns, "10.99.0.2:80", ""},
		{"internal to its neighbour", i1.ns, at(i2, "80"), "i2 " + i1.ip.String()},
		{"internal through the host to another network", i1.ns, "10.99.0.1:8080", ""},
		{"a network to an internal one", a1.ns, at(i1, "80"), ""},
		{"icc off: to its neighbour", q2.ns, at(q1, "80"), ""},
		{"icc off: to the outside", q2.ns, "10.99.0.2:80", "remote 10.99.0.1"},
	} {
		for _, proto := range []string{"tcp", "udp"} {
			t.Run(c.who+"/"+proto, func(t *testing.T) {
				t.Parallel()
				ask := c.from.ask
				if c.answer != "" {
					ask = c.from.answers
				}
				got, err := ask(proto, c.to)
				switch {
				case c.answer == "" && err == nil:
					t.Errorf("%s answered %q; nothing may", c.to, got)
				case c.answer != "" && err != nil:
					t.Errorf("%s: %v", c.to, err)
				case c.answer != "" && !like(got, c.answer):
					t.Errorf("%s answered %q, want %q", c.to, got, c.answer)
				}
			})
		}
	}
}

// like compares; a star at the end of want stands for anything.
func like(got, want string) bool {
	if n := len(want) - 1; n >= 0 && want[n] == '*' {
		return len(got) > n && got[:n] == want[:n]
	}
	return got == want
}

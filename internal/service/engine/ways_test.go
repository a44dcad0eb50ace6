package engine_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"lus/internal/model/container"
	model "lus/internal/model/network"
)

// page asks for what a container says on a port of the host.
func page(port string) string {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 5*time.Second)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 16)
	n, _ := c.Read(buf)
	return string(buf[:n])
}

// The default route and the published ports follow when the network that had
// them goes, or one comes that comes first.
func TestTheWayInFollowsTheNetworks(t *testing.T) {
	root := newRoot(t)
	h := reopen(t, root)
	ctx := limited(t)
	for _, n := range []model.Network{{Name: "alpha"}, {Name: "beta"}, {Name: "inner", Internal: true}, {Name: "zeta"}} {
		_, _, err := h.engine.CreateNetwork(ctx, &n)
		must(t, err)
	}
	id := h.run("web", "while :; do echo hello | nc -l -p 80; done", onNetwork("beta"), published("18081", "80/tcp"))
	must(t, h.engine.ConnectNetwork(ctx, "zeta", "web", nil))
	must(t, h.engine.ConnectNetwork(ctx, "inner", "web", nil))
	way := func(network string) {
		t.Helper()
		until(t, "an answer by way of "+network, func() bool { return page("18081") == "hello\n" })
		rec := h.inspect(id)
		if out, _ := h.exec(id, "ip route show default"); !strings.Contains(out, "via "+rec.Networks[network].Gateway+" ") {
			t.Errorf("not by %s: %s", network, out)
		}
		if got := rec.Ports["80/tcp"]; len(got) != 1 || got[0].HostPort != "18081" {
			t.Errorf("by %s: published %v", network, got)
		}
	}
	way("beta")
	must(t, h.engine.DisconnectNetwork(ctx, "beta", "web", false))
	way("zeta")
	must(t, h.engine.ConnectNetwork(ctx, "beta", "web", nil))
	way("beta") // by name it comes first
	must(t, h.engine.ConnectNetwork(ctx, "alpha", "web", &container.Endpoint{GwPriority: -1}))
	way("beta")
	must(t, h.engine.DisconnectNetwork(ctx, "alpha", "web", false))
	must(t, h.engine.DisconnectNetwork(ctx, "zeta", "web", false))
	way("beta")

	// With no network left that leads out nothing is published; with one again
	// it is.
	must(t, h.engine.DisconnectNetwork(ctx, "beta", "web", false))
	if got := page("18081"); got == "hello\n" {
		t.Errorf("on an internal network alone the port answers %q", got)
	}
	if got := h.inspect(id).Ports["80/tcp"]; len(got) != 0 {
		t.Errorf("published: %v", got)
	}
	must(t, h.engine.ConnectNetwork(ctx, "zeta", "web", nil))
	way("zeta")
	if out, _ := h.exec(id, "ip -o link"); strings.Count(out, ": eth") != 2 {
		t.Errorf("interfaces: %s", out)
	}

	// A daemon that comes back knows which way it is.
	h.close()
	h = reopen(t, root)
	way("zeta")
	must(t, h.engine.KillContainer(ctx, id, ""))
	until(t, "the port to be free", func() bool {
		l, err := net.Listen("tcp4", "0.0.0.0:18081")
		if err == nil {
			l.Close()
		}
		return err == nil
	})
}

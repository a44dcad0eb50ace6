package network_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/network"
	"lus/internal/model/container"
	model "lus/internal/model/network"
)

// shared publishes ports that the boxes of one group share.
func shared(t testing.TB, m *network.Manager, b *box, group string, waiting bool, specs ...string) error {
	t.Helper()
	list := ports(t, specs...)
	for i := range list {
		list[i].Group, list[i].Waiting = group, waiting
	}
	_, err := m.Publish(t.Context(), b.id, way(b.eps[0].NetworkID, b.ip), list)
	return err
}

// who answers at an address, and how often of forty times.
func who(t testing.TB, from ns, at string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for range 40 {
		answer, err := from.answers("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(answer, " ")
		out[name]++
	}
	return out
}

func only(t testing.TB, got map[string]int, names ...string) {
	t.Helper()
	for _, n := range names {
		if got[n] == 0 {
			t.Errorf("%s never answers: %v", n, got)
		}
	}
	if len(got) != len(names) {
		t.Errorf("others than %v answer: %v", names, got)
	}
}

func TestASharedPortIsBalanced(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	m := newManager(t)
	n := newNetwork(t, m)
	a, b, c := newBox(t, m, "a", n), newBox(t, m, "b", n), newBox(t, m, "c", n)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(shared(t, m, a, "p/web", false, "8080:80"))
	only(t, who(t, remote, "10.99.0.1:8080"), "a")
	must(shared(t, m, b, "p/web", false, "8080:80"))
	for _, at := range []string{"10.99.0.1:8080", "127.0.0.1:8080"} {
		from := remote
		if at[:3] == "127" {
			from = host()
		}
		only(t, who(t, from, at), "a", "b")
	}

	// Who is not ready is left out, unless nobody is.
	must(shared(t, m, c, "p/web", true, "8080:80"))
	only(t, who(t, remote, "10.99.0.1:8080"), "a", "b")
	must(m.SetReady(t.Context(), c.id, true))
	only(t, who(t, remote, "10.99.0.1:8080"), "a", "b", "c")
	must(m.SetReady(t.Context(), a.id, false))
	must(m.SetReady(t.Context(), b.id, false))
	only(t, who(t, remote, "10.99.0.1:8080"), "c")
	must(m.SetReady(t.Context(), c.id, false))
	only(t, who(t, remote, "10.99.0.1:8080"), "a", "b", "c")

	// Another group, and who shares with nobody, are told who has it.
	stranger := newBox(t, m, "d", n)
	if err := shared(t, m, stranger, "p/other", false, "8080:80"); !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "container ") {
		t.Errorf("another group got %v", err)
	}
	// A range is not shared: each gets one of it.
	must(shared(t, m, stranger, "p/ranged", false, "8090-8091:80"))

	must(m.Unpublish(t.Context(), a.id))
	must(m.Unpublish(t.Context(), b.id))
	only(t, who(t, remote, "10.99.0.1:8080"), "c")
	must(m.Unpublish(t.Context(), c.id))
	if answer, err := remote.ask("tcp", "10.99.0.1:8080"); err == nil {
		t.Errorf("nobody is left, and %q answers", answer)
	}
	must(shared(t, m, newBox(t, m, "e", n), "p/other", false, "8080:80"))
}

func TestAPortOnOneAddressIsSharedToo(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	m := newManager(t)
	n := newNetwork(t, m)
	a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
	for _, x := range []*box{a, b} {
		if err := shared(t, m, x, "p/web", false, "127.0.0.1:8080:80", "127.0.0.1:8080:80/udp"); err != nil {
			t.Fatal(err)
		}
	}
	only(t, who(t, host(), "127.0.0.1:8080"), "a", "b")
}

// TestSharedPortsOutliveTheDaemon: one of three dies with the daemon; the next
// one keeps the others balanced and the port held, and lets go with the last.
func TestSharedPortsOutliveTheDaemon(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	remote := lan(t)
	k := newKeeper(t)
	cfg := network.Config{Instance: ids.New()[:6], LockDir: t.TempDir(), Holder: k}
	first, err := network.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork(t, first)
	boxes := []*box{newBox(t, first, "a", n), newBox(t, first, "b", n), newBox(t, first, "dead", n)}
	for _, b := range boxes {
		if err := shared(t, first, b, "p/web", false, "8080:80"); err != nil {
			t.Fatal(err)
		}
	}
	first.Close()

	second := newManager(t, func(c *network.Config) { c.Instance, c.Holder = cfg.Instance, k })
	var running []network.Running
	for _, b := range boxes[:2] {
		asked := ports(t, "8080:80")
		asked[0].Group = "p/web"
		running = append(running, network.Running{
			ContainerID: b.id, Endpoints: b.eps, Ways: way(b.eps[0].NetworkID, b.ip), Asked: asked,
			Ports: container.PortMap{"80/tcp": {{HostIP: netip.IPv4Unspecified().String(), HostPort: "8080"}}},
		})
	}
	for range 2 { // twice is like once
		if err := second.Reconcile(t.Context(), []*model.Network{n}, running); err != nil {
			t.Fatal(err)
		}
	}
	only(t, who(t, remote, "10.99.0.1:8080"), "a", "b")
	if held, _ := k.Held(context.Background()); len(held) != 1 {
		t.Errorf("held: %v, want the shared port once", held)
	}
	for _, b := range boxes[:2] {
		if err := second.Unpublish(t.Context(), b.id); err != nil {
			t.Fatal(err)
		}
	}
	if held, _ := k.Held(context.Background()); len(held) != 0 {
		t.Errorf("still held: %v", held)
	}
}

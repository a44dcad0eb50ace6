package build_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"lus/internal/model/build"
	"lus/test/need"
)

// fakeNetwork notes who joins, and gives them a resolv.conf.
type fakeNetwork struct {
	mu       sync.Mutex
	joined   []string // the names of the namespaces
	released int
	err      error
}

func (n *fakeNetwork) Attach(_ context.Context, _ string, netns *os.File) ([]byte, func(), error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return nil, nil, n.err
	}
	name, err := os.Readlink(netns.Name())
	if err != nil {
		return nil, nil, err
	}
	n.joined = append(n.joined, name)
	return []byte("nameserver 192.0.2.53\n"), func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.released++
	}, nil
}

// B6
func TestNetworkModes(t *testing.T) {
	n := &fakeNetwork{}
	need.Root(t)
	b := openBuilder(t, t.TempDir(), n)
	host, err := os.Readlink("/proc/self/ns/net")
	must(t, err)
	const look = "FROM busybox\nRUN readlink /proc/self/ns/net > /ns; cat /etc/resolv.conf > /dns; grep -c : /proc/net/dev > /links; ip link show lo > /lo\n"
	for mode, want := range map[string]struct {
		host, joined bool
	}{
		"":     {joined: true},
		"none": {},
		"host": {host: true},
	} {
		t.Run("mode "+mode, func(t *testing.T) {
			n.joined, n.released = nil, 0
			r := b.file(look, nil, func(q *build.Request) { q.NetworkMode = mode }).ok(t)
			ns, _ := b.read(r.id, "ns")
			if got := strings.TrimSpace(ns) == host; got != want.host {
				t.Errorf("the step is in %s, the host in %s", ns, host)
			}
			if got := len(n.joined) > 0; got != want.joined {
				t.Errorf("joined the network: %v, want %v", got, want.joined)
			}
			if n.released != len(n.joined) {
				t.Errorf("%d of %d attachments were given back", n.released, len(n.joined))
			}
			dns, _ := b.read(r.id, "dns")
			if got := strings.Contains(dns, "192.0.2.53"); got != want.joined {
				t.Errorf("the step's resolv.conf is %q", dns)
			}
			if lo, _ := b.read(r.id, "lo"); !strings.Contains(lo, "UP") {
				t.Errorf("the loopback interface is not up: %q", lo)
			}
		})
	}
	t.Run("a step without a network in a build with one", func(t *testing.T) {
		n.joined = nil
		b.file("FROM busybox\nRUN --network=none true\n", nil).ok(t)
		if len(n.joined) > 0 {
			t.Error("it joined the network")
		}
	})
	t.Run("no address is free", func(t *testing.T) {
		n.err = errors.New("no address is free")
		defer func() { n.err = nil }()
		r := b.file("FROM busybox\nRUN echo unseen\n", nil)
		if r.err == nil || !strings.Contains(r.err.Error(), "no address is free") {
			t.Errorf("the error is %v", r.err)
		}
	})
}

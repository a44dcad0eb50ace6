package network_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/network"
	model "lus/internal/model/network"
)

// keeper is a Holder that outlives Managers, as the keeper does.
type keeper struct {
	mu   sync.Mutex
	held map[string][]int
	fail error
}

func newKeeper(t testing.TB) *keeper {
	k := &keeper{held: map[string][]int{}}
	t.Cleanup(func() {
		for key := range k.held {
			_ = k.Drop(context.Background(), key)
		}
	})
	return k
}

func (k *keeper) Hold(_ context.Context, key string, files []*os.File) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return k.fail
	}
	for _, f := range files {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		k.held[key] = append(k.held[key], fd)
	}
	return nil
}

func (k *keeper) Drop(_ context.Context, key string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, fd := range k.held[key] {
		_ = unix.Close(fd)
	}
	delete(k.held, key)
	return nil
}

func (k *keeper) Held(context.Context) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for key := range k.held {
		out = append(out, key)
	}
	return out, nil
}

// TestATakenPort: the second fails at once, with the port and who holds it,
// and leaves nothing half made.
func TestATakenPort(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	lan(t)
	web := ""
	m := newManager(t, func(c *network.Config) {
		c.Name = func(id string) string {
			if id == web {
				return "web"
			}
			return ""
		}
	})
	n := newNetwork(t, m)
	a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
	web = a.id
	publish(t, m, a, "8080:80", "5353:53/udp", "9000-9001:80-81")
	foreign, err := net.Listen("tcp4", "127.0.0.1:7070")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	sixth, err := net.Listen("tcp", "[::]:7071")
	if err != nil {
		t.Fatal(err)
	}
	defer sixth.Close()
	self := fmt.Sprintf("(pid %d)", os.Getpid())
	before := run(t, "nft", "list", "ruleset")
	for _, c := range []struct {
		name  string
		ports []string
		kind  errs.Kind
		words []string
	}{
		{"by a container of ours", []string{"8080:80"}, errs.Conflict, []string{"0.0.0.0:8080", "tcp port 8080", "container web", "port is already allocated"}},
		{"on one address of all", []string{"127.0.0.1:8080:80"}, errs.Conflict, []string{"127.0.0.1:8080", "container web"}},
		{"by UDP", []string{"5353:53/udp"}, errs.Conflict, []string{"udp port 5353", "container web"}},
		{"the second of two", []string{"6000:80", "8080:80"}, errs.Conflict, []string{"8080"}},
		{"twice by itself", []string{"6000:80", "6000:81"}, errs.Conflict, []string{"6000"}},
		{"by a process", []string{"7070:80"}, errs.Conflict, []string{"7070", "process", self}},
		{"by a process on IPv6", []string{"7071:80"}, errs.Conflict, []string{"7071", self}},
		{"all of a range", []string{"9000-9001:80"}, errs.Conflict, []string{"9000", "9001"}},
		{"an address the host has not", []string{"192.0.2.1:80:80"}, errs.Invalid, []string{"192.0.2.1"}},
		{"IPv6", []string{"[::1]:80:80"}, errs.Unsupported, []string{"::1", "no IPv6"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := m.Publish(t.Context(), b.id, way(n.ID, b.ip), ports(t, c.ports...))
			if !errs.Is(err, c.kind) {
				t.Fatalf("error %v of kind %v, want kind %v", err, errs.KindOf(err), c.kind)
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not name %q", err, w)
				}
			}
		})
	}
	if after := run(t, "nft", "list", "ruleset"); after != before {
		t.Errorf("half made:\n%s", after)
	}
	if _, err := net.Listen("tcp4", "0.0.0.0:8080"); err == nil {
		t.Error("another program could take a published port")
	}
	free, err := net.Listen("tcp4", "0.0.0.0:6000")
	if err != nil {
		t.Errorf("a port of a failed publication stays taken: %v", err)
	} else {
		free.Close()
	}
}

func TestPublishedRangesAndFreePorts(t *testing.T) {
	needRoot(t)
	lan(t)
	m := newManager(t)
	n := newNetwork(t, m)
	a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
	got := publish(t, m, a, "9000-9002:80")
	if p := got["80/tcp"]; len(p) != 1 || p[0].HostPort != "9000" || p[0].HostIP != "0.0.0.0" {
		t.Errorf("first of a range: %v", got)
	}
	got = publish(t, m, b, "9000-9002:80", "80")
	if p := got["80/tcp"]; len(p) != 2 || p[0].HostPort != "9001" || p[1].HostPort == "0" {
		t.Fatalf("next of a range, and any: %v", got)
	}
	if answer, err := host().answers("tcp", "127.0.0.1:"+got["80/tcp"][1].HostPort); err != nil || !strings.HasPrefix(answer, "b ") {
		t.Errorf("the port chosen: %q, %v", answer, err)
	}
	if err := m.Unpublish(t.Context(), a.id); err != nil {
		t.Fatal(err)
	}
	if answer, err := host().ask("tcp", "127.0.0.1:9000"); err == nil {
		t.Errorf("a port that was freed answers %q", answer)
	}
	publish(t, m, a, "9000:80")
	if answer, err := host().answers("tcp", "127.0.0.1:9000"); err != nil || !strings.HasPrefix(answer, "a ") {
		t.Errorf("a port taken again: %q, %v", answer, err)
	}
}

// A network may say where ports are published that name no address.
func TestTheAddressThatANetworkPublishesOn(t *testing.T) {
	needRoot(t)
	remote := lan(t)
	m := newManager(t)
	n := newNetwork(t, m, func(n *model.Network) {
		n.Options = map[string]string{"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"}
	})
	box := newBox(t, m, "a", n)
	got := publish(t, m, box, "8080:80", "0.0.0.0:8081:80")
	if p := got["80/tcp"]; len(p) != 2 || p[0].HostIP != "127.0.0.1" || p[1].HostIP != "0.0.0.0" {
		t.Errorf("published: %v", got)
	}
	if !reaches(host(), "127.0.0.1:8080", true) || reaches(remote, "10.99.0.1:8080", false) || !reaches(remote, "10.99.0.1:8081", true) {
		t.Error("the one is for this host, the other for all")
	}
}

func TestOfManyWhoWantOnePortExactlyOneWins(t *testing.T) {
	needRoot(t)
	lan(t)
	m := newManager(t)
	n := newNetwork(t, m)
	var wg sync.WaitGroup
	errors := make([]error, 20)
	for i := range errors {
		wg.Go(func() {
			id := ids.New()
			a, err := m.Reserve(t.Context(), n.ID, id, network.Wanted{})
			if err == nil {
				_, err = m.Publish(t.Context(), id, way(n.ID, a.IP.Addr()), ports(t, "8088:80", "8089:80/udp"))
			}
			errors[i] = err
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errors {
		if err == nil {
			won++
		} else if !errs.Is(err, errs.Conflict) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

// A server that was just stopped leaves connections in TIME_WAIT; its port can
// be published all the same, and is then nobody else's.
func TestAPortWithRemainsOfConnections(t *testing.T) {
	needRoot(t)
	lan(t)
	l, err := net.Listen("tcp4", "127.0.0.1:8090")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp4", "127.0.0.1:8090")
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close() // the server first: the remains are on its side
	_, _ = client.Read(make([]byte, 1))
	client.Close()
	l.Close()
	m := newManager(t)
	n := newNetwork(t, m)
	box := newBox(t, m, "a", n)
	publish(t, m, box, "8090:80")
	if l, err := net.Listen("tcp4", "127.0.0.1:8090"); err == nil {
		l.Close()
		t.Error("another program could take the port beside us")
	}
	if answer, err := host().answers("tcp", "127.0.0.1:8090"); err != nil || !strings.HasPrefix(answer, "a ") {
		t.Errorf("%q, %v", answer, err)
	}
}

// A client that keeps sending from one port reaches whoever has the port now:
// before it is published, after, and when the next container has it.
func TestUDPFollowsThePort(t *testing.T) {
	needRoot(t)
	remote := lan(t)
	m := newManager(t)
	n := newNetwork(t, m)
	a, b := newBox(t, m, "a", n), newBox(t, m, "b", n)
	var c net.Conn
	err := remote.do(func() (err error) {
		c, err = net.Dial("udp4", "10.99.0.1:5300")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("nobody is there yet"))
	_ = c.SetReadDeadline(time.Now().Add(patience)) // a refusal, unless it is lost
	_, _ = c.Read(make([]byte, 64))
	for _, who := range []struct {
		box  *box
		name string
	}{{a, "a"}, {b, "b"}} {
		publish(t, m, who.box, "5300:80/udp")
		if got := exchange(c); !strings.HasPrefix(got, who.name+" ") {
			t.Errorf("answered %q, want %s", got, who.name)
		}
		if err := m.Unpublish(t.Context(), who.box.id); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAHolderThatFailsLeavesNothing: the keeper is not there.
func TestAHolderThatFailsLeavesNothing(t *testing.T) {
	needRoot(t)
	lan(t)
	k := newKeeper(t)
	m := newManager(t, func(c *network.Config) { c.Holder = k })
	n := newNetwork(t, m)
	box := newBox(t, m, "a", n)
	before := run(t, "nft", "list", "ruleset")
	k.fail = errs.New(errs.Unavailable, "no keeper")
	if _, err := m.Publish(t.Context(), box.id, way(n.ID, box.ip), ports(t, "8080:80")); !strings.Contains(fmt.Sprint(err), "no keeper") {
		t.Errorf("error %v", err)
	}
	if after := run(t, "nft", "list", "ruleset"); after != before {
		t.Errorf("half made:\n%s", after)
	}
	k.fail = nil
	publish(t, m, box, "8080:80")
	if held, _ := k.Held(t.Context()); !slices.Equal(held, []string{"ports/" + box.id}) {
		t.Errorf("held: %v", held)
	}
	if err := m.Unpublish(t.Context(), box.id); err != nil {
		t.Fatal(err)
	}
	if held, _ := k.Held(t.Context()); len(held) != 0 {
		t.Errorf("still held: %v", held)
	}
}

package engine_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	model "lus/internal/model/network"
)

func onNetwork(name string, aliases ...string) func(*container.CreateRequest) {
	return func(r *container.CreateRequest) {
		r.HostConfig.NetworkMode = name
		if len(aliases) > 0 {
			r.NetworkingConfig = &container.NetworkingConfig{EndpointsConfig: map[string]*container.Endpoint{name: {Aliases: aliases}}}
		}
	}
}

func published(host, ctr string) func(*container.CreateRequest) {
	return func(r *container.CreateRequest) {
		r.HostConfig.PortBindings = container.PortMap{ctr: {{HostPort: host}}}
	}
}

func TestNamesResolveOnAUserNetwork(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	_, _, err := h.engine.CreateNetwork(ctx, &model.Network{Name: "app"})
	must(t, err)
	db := h.run("db", "sleep 1000", onNetwork("app", "database"))
	web := h.run("web", "sleep 1000", onNetwork("app"))
	ip := h.inspect(db).Networks["app"].IPAddress
	for _, name := range []string{"db", "database", db[:12]} {
		if out, code := h.exec(web, "nslookup "+name+" 127.0.0.11"); code != 0 || !strings.Contains(out, ip) {
			t.Errorf("%s: %d %s", name, code, out)
		}
	}
	if out, code := h.exec(web, "ping -c 1 -W 20 db"); code != 0 {
		t.Errorf("ping: %s", out)
	}
	must(t, h.engine.RenameContainer(ctx, "db", "store"))
	if out, code := h.exec(web, "nslookup store 127.0.0.11"); code != 0 || !strings.Contains(out, ip) {
		t.Errorf("after the renaming: %s", out)
	}
	must(t, h.engine.KillContainer(ctx, db, ""))
	if out, code := h.exec(web, "nslookup database 127.0.0.11"); code == 0 {
		t.Errorf("the dead answers: %s", out)
	}
	n, err := h.engine.InspectNetwork(ctx, "app")
	must(t, err)
	if len(n.Containers) != 1 || n.Containers[web].Name != "web" {
		t.Errorf("on the network: %+v", n.Containers)
	}
	if err := h.engine.RemoveNetwork(ctx, "app"); !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "web") {
		t.Errorf("removing a network in use: %v", err)
	}
}

func TestTheDefaultBridge(t *testing.T) {
	h := start(t)
	a := h.run("alice", "sleep 1000", onNetwork("default"))
	b := h.run("bob", "sleep 1000", onNetwork("bridge"))
	ip := h.inspect(b).Networks["bridge"].IPAddress
	if out, code := h.exec(a, "ping -c 1 -W 20 "+ip); code != 0 {
		t.Errorf("addresses are to be reached: %s", out)
	}
	if out, code := h.exec(a, "ping -c 1 -W 5 bob"); code == 0 {
		t.Errorf("names are not to resolve: %s", out)
	}
	if out, _ := h.exec(a, "cat /etc/resolv.conf"); strings.Contains(out, "127.0.0.11") || !strings.Contains(out, "nameserver") {
		t.Errorf("resolv.conf:\n%s", out)
	}
	if out, _ := h.exec(a, "cat /etc/hosts"); !strings.Contains(out, h.inspect(a).Networks["bridge"].IPAddress+"\t"+a[:12]) {
		t.Errorf("hosts:\n%s", out)
	}
	if out, code := h.exec(h.run("", "sleep 1000"), "ip -o link | grep -v LOOPBACK | wc -l"); code != 0 || strings.TrimSpace(out) != "0" {
		t.Errorf("interfaces on none: %s", out)
	}
}

func TestAPublishedPort(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	id := h.run("web", "while :; do echo hello | nc -l -p 80; done", onNetwork("bridge"), published("18080", "80/tcp"))
	get := func() string {
		c, err := net.DialTimeout("tcp", "127.0.0.1:18080", 20*time.Second)
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		buf := make([]byte, 16)
		n, _ := c.Read(buf)
		return string(buf[:n])
	}
	until(t, "an answer on the port", func() bool { return get() == "hello\n" })
	if got := h.inspect(id).Ports["80/tcp"]; len(got) == 0 || got[0].HostPort != "18080" {
		t.Errorf("published: %v", got)
	}
	before := h.traces()
	second := h.create("second", "sleep 1000", onNetwork("bridge"), published("18080", "80/tcp"))
	after := h.create("third", "sleep 1000", onNetwork("bridge"), published("", "80/tcp"))
	err := h.engine.StartContainer(ctx, second)
	if err == nil || !strings.Contains(err.Error(), "18080") || !strings.Contains(err.Error(), "web") {
		t.Errorf("a taken port: %v, want the port and its holder", err)
	}
	must(t, h.engine.RemoveContainer(ctx, second, container.RemoveOptions{}))
	must(t, h.engine.StartContainer(ctx, after))
	if got := h.inspect(after).Ports["80/tcp"]; len(got) == 0 || got[0].HostPort == "" || got[0].HostPort == "0" {
		t.Errorf("any free port: %v", got)
	}
	must(t, h.engine.RemoveContainer(ctx, after, container.RemoveOptions{Force: true}))
	must(t, h.engine.Settle(ctx))
	if now := h.traces(); now != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, now)
	}
	// The port is free the moment the end is reported.
	gone, err := h.engine.WaitContainer(ctx, id, "next-exit")
	must(t, err)
	must(t, h.engine.KillContainer(ctx, id, ""))
	h.exit(gone)
	h.run("heir", "sleep 1000", onNetwork("bridge"), published("18080", "80/tcp"))
}

func TestConnectAndDisconnect(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	for _, n := range []string{"one", "two"} {
		_, _, err := h.engine.CreateNetwork(ctx, &model.Network{Name: n})
		must(t, err)
	}
	a := h.run("alice", "sleep 1000", onNetwork("one"))
	h.run("bob", "sleep 1000", onNetwork("two"))
	must(t, h.engine.ConnectNetwork(ctx, "two", "alice", &container.Endpoint{Aliases: []string{"alfa"}}))
	if out, code := h.exec(a, "ping -c 1 -W 5 bob"); code != 0 {
		t.Errorf("after connecting: %s", out)
	}
	if out, code := h.exec("bob", "ping -c 1 -W 20 alfa"); code != 0 {
		t.Errorf("by its alias: %s", out)
	}
	if err := h.engine.ConnectNetwork(ctx, "two", "alice", nil); err == nil {
		t.Error("connected twice")
	}
	must(t, h.engine.DisconnectNetwork(ctx, "two", "alice", false))
	if out, code := h.exec(a, "ping -c 1 -W 1 bob"); code == 0 {
		t.Errorf("after disconnecting: %s", out)
	}
	if err := h.engine.DisconnectNetwork(ctx, "two", "alice", false); err == nil {
		t.Error("disconnected twice")
	}
	// What was connected while stopped is there after the start.
	c := h.create("carol", "sleep 1000", onNetwork("one"))
	must(t, h.engine.ConnectNetwork(ctx, "two", "carol", nil))
	must(t, h.engine.StartContainer(ctx, c))
	if out, code := h.exec(c, "ping -c 1 -W 20 bob && ping -c 1 -W 20 alice"); code != 0 {
		t.Errorf("on two networks: %s", out)
	}
}

func TestSharingANamespace(t *testing.T) {
	h := start(t)
	a := h.run("alice", "sleep 1000", onNetwork("bridge"))
	out, code := h.output("ip -o -4 addr show eth0; ls /proc | grep -c '^[0-9]'", func(r *container.CreateRequest) {
		r.HostConfig.NetworkMode, r.HostConfig.PidMode = "container:alice", "container:alice"
	})
	if code != 0 || !strings.Contains(out, h.inspect(a).Networks["bridge"].IPAddress) {
		t.Errorf("%d %s", code, out)
	}
	must(t, h.engine.KillContainer(context.Background(), "alice", ""))
	id := h.create("", "true", func(r *container.CreateRequest) { r.HostConfig.NetworkMode = "container:alice" })
	if err := h.engine.StartContainer(context.Background(), id); !errs.Is(err, errs.Conflict) {
		t.Errorf("joining the dead: %v", err)
	}
}

func TestNetworksThatCannotBe(t *testing.T) {
	h := start(t)
	ctx := limited(t)
	_, _, err := h.engine.CreateNetwork(ctx, &model.Network{Name: "fixed", IPAM: model.IPAM{Config: []model.Pool{{Subnet: "10.99.0.0/24"}}}})
	must(t, err)
	for what, n := range map[string]*model.Network{
		"a name taken":      {Name: "fixed"},
		"a bad name":        {Name: "a b"},
		"a second bridge":   {Name: "bridge"},
		"overlay":           {Name: "over", Driver: "overlay"},
		"an unknown driver": {Name: "odd", Driver: "odd"},
		"another host":      {Name: "host2", Driver: "host"},
		"a subnet of IPv6":  {Name: "six", IPAM: model.IPAM{Config: []model.Pool{{Subnet: "fd00:77::/64"}}}},
		"two subnets":       {Name: "two", IPAM: model.IPAM{Config: []model.Pool{{Subnet: "10.97.0.0/24"}, {Subnet: "10.96.0.0/24"}}}},
		"an odd option":     {Name: "opt", Options: map[string]string{"com.docker.network.bridge.gateway_mode_ipv4": "routed"}},
		"a bad subnet":      {Name: "bad", IPAM: model.IPAM{Config: []model.Pool{{Subnet: "nonsense"}}}},
		"a taken subnet":    {Name: "dup", IPAM: model.IPAM{Config: []model.Pool{{Subnet: "10.99.0.0/25"}}}},
	} {
		if _, _, err := h.engine.CreateNetwork(ctx, n); err == nil {
			t.Errorf("%s: made", what)
		}
	}
	fixed := func(ip string) func(*container.CreateRequest) {
		return func(r *container.CreateRequest) {
			r.HostConfig.NetworkMode = "fixed"
			r.NetworkingConfig = &container.NetworkingConfig{EndpointsConfig: map[string]*container.Endpoint{"fixed": {IPAMConfig: &container.EndpointIPAM{IPv4Address: ip}}}}
		}
	}
	id := h.run("", "sleep 1000", fixed("10.99.0.77"))
	if ip := h.inspect(id).Networks["fixed"].IPAddress; ip != "10.99.0.77" {
		t.Errorf("asked for 10.99.0.77, got %s", ip)
	}
	req := request("true")
	fixed("10.98.0.1")(req)
	if _, err := h.engine.CreateContainer(ctx, "", req); !errs.Is(err, errs.Invalid) {
		t.Errorf("an address outside the subnet: %v", err)
	}
	same := h.create("", "true", fixed("10.99.0.77"))
	if err := h.engine.StartContainer(ctx, same); err == nil {
		t.Error("an address given twice")
	}
	for _, name := range []string{"bridge", "host", "none"} {
		if err := h.engine.RemoveNetwork(ctx, name); !errs.Is(err, errs.Denied) {
			t.Errorf("removing %s: %v", name, err)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	h := start(t)
	const n = 20
	done := make(chan error, n)
	for i := range n {
		go func() {
			ctx := context.Background()
			req := request(fmt.Sprintf("exit %d", i))
			req.HostConfig.NetworkMode, req.HostConfig.AutoRemove = "bridge", true
			res, err := h.engine.CreateContainer(ctx, "", req)
			if err != nil {
				done <- err
				return
			}
			ch, err := h.engine.WaitContainer(ctx, res.ID, "removed")
			if err == nil {
				err = h.engine.StartContainer(ctx, res.ID)
			}
			if err == nil {
				if x := <-ch; x.Code != i {
					err = fmt.Errorf("code %d, want %d", x.Code, i)
				}
			}
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	must(t, h.engine.Settle(limited(t)))
	h.clean()
}

package compose

import (
	"context"
	"slices"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/network"
)

func (w *world) ConnectNetwork(_ context.Context, name, c string, _ *container.Endpoint) error {
	w.note("connect " + c + " " + name)
	return nil
}

func (w *world) DisconnectNetwork(_ context.Context, name, c string, _ bool) error {
	w.note("disconnect " + c + " " + name)
	return nil
}

func net(pools ...network.Pool) network.Network {
	return network.Network{Name: "p_front", ID: "n1", Driver: "bridge", IPAM: network.IPAM{Config: pools}, Labels: map[string]string{
		compose.LabelProject: "p", compose.LabelNetwork: "front",
	}}
}

func TestWhatOfANetworkIsOtherwise(t *testing.T) {
	made := func(p network.Pool, chosen bool) *network.Network {
		n := net(p)
		n.SubnetChosen, n.Options = chosen, map[string]string{}
		return &n
	}
	with := func(change func(*network.Network), pools ...network.Pool) *network.Network {
		n := net(pools...)
		change(&n)
		return &n
	}
	same := func(*network.Network) {}
	chosen := made(network.Pool{Subnet: "10.1.0.0/22", Gateway: "10.1.0.1"}, true)
	asked := made(network.Pool{Subnet: "10.1.0.0/24", Gateway: "10.1.0.1"}, false)
	for _, c := range []struct {
		name        string
		have, asked *network.Network
		want        string
	}{
		{"as it was", chosen, with(same), ""},
		{"the gateway that is taken anyway", asked, with(same, network.Pool{Subnet: "10.1.0.0/24"}), ""},
		{"the same, said", asked, with(same, network.Pool{Subnet: "10.1.0.0/24", Gateway: "10.1.0.1"}), ""},
		{"the same, not masked", asked, with(same, network.Pool{Subnet: "10.1.0.9/24"}), ""},
		{"labels of another hand", with(func(n *network.Network) { n.Labels["com.docker.compose.version"] = "5.6.0" }), with(same), ""},
		{"a subnet that nobody asked for any more", asked, with(same), "ipam.config: - 10.1.0.0/24"},
		{"a subnet of one's own", chosen, with(same, network.Pool{Subnet: "10.1.0.0/22"}), "ipam.config: + 10.1.0.0/22"},
		{"a gateway", asked, with(same, network.Pool{Subnet: "10.1.0.0/24", Gateway: "10.1.0.9"}), "ipam.config: 10.1.0.0/24 -> 10.1.0.0/24 gateway 10.1.0.9"},
		{"a range", asked, with(same, network.Pool{Subnet: "10.1.0.0/24", IPRange: "10.1.0.128/25"}), "ipam.config: 10.1.0.0/24 -> 10.1.0.0/24 ip_range 10.1.0.128/25"},
		{"an address set aside", asked, with(same, network.Pool{Subnet: "10.1.0.0/24", Aux: map[string]string{"h": "10.1.0.7"}}), "ipam.config: 10.1.0.0/24 -> 10.1.0.0/24 h=10.1.0.7"},
		{"the driver", chosen, with(func(n *network.Network) { n.Driver = "ipvlan" }), "driver: bridge -> ipvlan"},
		{"internal", chosen, with(func(n *network.Network) { n.Internal = true }), "internal: false -> true"},
		{"an option", chosen, with(func(n *network.Network) { n.Options = map[string]string{"o": ""} }), `driver_opts.o: + ""`},
		{"a label", chosen, with(func(n *network.Network) { n.Labels["l"] = "m" }), "labels.l: + m"},
	} {
		if got := strings.Join(networkDifferences(c.have, c.asked), "; "); got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

func TestAChangedNetworkIsMadeAnewAndNobodyIsStopped(t *testing.T) {
	have, asked := net(), net()
	asked.Internal = true
	web := svc("web")
	web.Create.NetworkingConfig = &container.NetworkingConfig{EndpointsConfig: map[string]*container.Endpoint{"p_front": {}}}
	c := running("web", 1, "h-web")
	c.Networks = map[string]*container.Endpoint{"p_front": {NetworkID: "n1"}}
	now := &observed{containers: map[string][]*container.Container{"web": {c}}, networks: map[string]*network.Network{"p_front": &have}}
	req := &compose.UpRequest{Project: &compose.Project{Name: "p", Services: []compose.Service{web}, Networks: []compose.Network{{Key: "front", Network: asked}}}}
	plan := func() string {
		p, err := planUp(req, req.Project.Services, map[string]string{"img": "sha256:1"}, now, forgotten)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(append(p.lines(), p.warnings...), "\n")
	}
	if got := plan(); got != "~ network p_front\n    internal: false -> true\n= 1 unchanged" {
		t.Errorf("the plan:\n%s", got)
	}
	req.NoRecreate = true
	if got := plan(); !strings.Contains(got, "= 1 unchanged\nnetwork p_front is otherwise in the file (internal: false -> true) and is kept") {
		t.Errorf("with --no-recreate:\n%s", got)
	}
	req.NoRecreate, c.Networks = false, nil
	asked.Internal = false
	req.Project.Networks[0].Network = asked
	if got := plan(); got != "> connect container p-web-1\n    it is not on network p_front\n= 1 unchanged" {
		t.Errorf("of a container that somebody took off:\n%s", got)
	}
}

// broken is an engine that cannot make some networks.
type broken struct {
	*world
	made []string
}

func (b *broken) CreateNetwork(_ context.Context, n *network.Network) (string, string, error) {
	b.made = append(b.made, n.Driver)
	if n.Driver == "ipvlan" {
		return "", "", errs.New(errs.Invalid, "no parent")
	}
	return "n2", "", nil
}

func TestANetworkThatCannotBeMadeAnewIsAsItWas(t *testing.T) {
	c := running("web", 1, "h-web")
	c.Networks = map[string]*container.Endpoint{"p_front": {NetworkID: "n1"}}
	b := &broken{world: &world{containers: map[string]*container.Container{c.ID: c}}}
	r := &runner{Service: &Service{Deps: Deps{Engine: b}}, tell: func(compose.Event) {}}
	have, asked := net(), net()
	asked.Driver = "ipvlan"
	err := r.renew(context.Background(), &step{action: renewNetwork, name: "p_front", network: &asked, former: &have})
	if err == nil || !strings.Contains(err.Error(), "no parent; it is as it was") {
		t.Errorf("%v", err)
	}
	if !slices.Equal(b.made, []string{"ipvlan", "bridge"}) || !slices.Equal(b.asked, []string{"disconnect id-web-1 n1", "connect id-web-1 p_front"}) {
		t.Errorf("made %q, asked %q", b.made, b.asked)
	}
}

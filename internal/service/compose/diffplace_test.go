package compose

import (
	"testing"

	"lus/internal/model/compose"
	"lus/internal/model/container"
)

func onNetworks(places map[string]*container.Endpoint) *compose.Service {
	s := svc("web")
	s.Create.NetworkingConfig = &container.NetworkingConfig{EndpointsConfig: places}
	return &s
}

func TestAPlaceOnANetworkIsToldInTheWordsOfTheFile(t *testing.T) {
	t.Parallel()
	plain := &container.Endpoint{Aliases: []string{"web"}}
	for _, c := range []struct {
		name     string
		old, new *container.Endpoint
		want     string
	}{
		{"joined", nil, plain, "networks.front: + joined"},
		{"left", plain, nil, "networks.front: - joined"},
		{
			"named", plain, &container.Endpoint{Aliases: []string{"web", "www", "shop"}},
			"networks.front: joined -> aliases www, shop",
		},
		{
			"another address",
			&container.Endpoint{Aliases: []string{"web"}, IPAMConfig: &container.EndpointIPAM{IPv4Address: "10.0.0.5"}},
			&container.Endpoint{Aliases: []string{"web"}, IPAMConfig: &container.EndpointIPAM{IPv4Address: "10.0.0.6"}},
			"networks.front: ipv4_address 10.0.0.5 -> ipv4_address 10.0.0.6",
		},
		{
			"everything", plain, &container.Endpoint{
				Aliases: []string{"www"}, Links: []string{"db:database"}, MacAddress: "02:42:ac:11:65:43", GwPriority: 7,
				IPAMConfig: &container.EndpointIPAM{IPv6Address: "fd00::5"},
			},
			"networks.front: joined -> aliases www; links db:database; ipv6_address fd00::5; mac_address 02:42:ac:11:65:43; gw_priority 7",
		},
		{
			"options", plain, &container.Endpoint{DriverOpts: map[string]string{"b": "2", "a_token": "1"}},
			"networks.front: joined -> driver_opts a_token=(hidden), b=2",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			places := [2]map[string]*container.Endpoint{{}, {}}
			for i, e := range []*container.Endpoint{c.old, c.new} {
				if e != nil {
					places[i]["front"] = e
				}
			}
			got := differences(onNetworks(places[0]), onNetworks(places[1]))
			if len(got) != 1 || got[0].String() != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

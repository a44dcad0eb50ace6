package network

import (
	"reflect"
	"strings"
	"testing"

	"lus/internal/model/network"
)

// Ranges, gateways and reserved addresses go to the subnet that they lie in, in
// whatever order they are written.
func TestAddressesGoToTheirSubnets(t *testing.T) {
	o := createFlags{subnets: []string{"fd00:9::/64", "10.9.0.0/24"}, ranges: []string{"10.9.0.128/25", "fd00:9::100/120"},
		gateways: []string{"10.9.0.9", "fd00:9::9"}, aux: []string{"a=10.9.0.5", "b=fd00:9::5"}}
	got, err := o.ipam()
	if err != nil {
		t.Fatal(err)
	}
	want := []network.Pool{
		{Subnet: "fd00:9::/64", IPRange: "fd00:9::100/120", Gateway: "fd00:9::9", Aux: map[string]string{"b": "fd00:9::5"}},
		{Subnet: "10.9.0.0/24", IPRange: "10.9.0.128/25", Gateway: "10.9.0.9", Aux: map[string]string{"a": "10.9.0.5"}},
	}
	if !reflect.DeepEqual(got.Config, want) {
		t.Errorf("pools %+v, want %+v", got.Config, want)
	}
}

func TestAddressesThatLieInNoSubnet(t *testing.T) {
	for say, o := range map[string]createFlags{
		"needs a --subnet":                     {gateways: []string{"10.9.0.1"}},
		"--aux-address needs a --subnet":       {aux: []string{"a=10.9.0.5"}},
		"no matching subnet for gateway":       {subnets: []string{"10.9.0.0/24"}, gateways: []string{"fd00::1"}},
		"no matching subnet for range":         {subnets: []string{"10.9.0.0/24"}, ranges: []string{"10.8.0.0/25"}},
		"no matching subnet for aux-address":   {subnets: []string{"10.9.0.0/24"}, aux: []string{"a=10.8.0.5"}},
		"cannot configure multiple gateways":   {subnets: []string{"10.9.0.0/24", "fd00::/64"}, gateways: []string{"10.9.0.1", "10.9.0.2"}},
		"cannot configure multiple ranges":     {subnets: []string{"10.9.0.0/24", "fd00::/64"}, ranges: []string{"10.9.0.0/25", "10.9.0.128/25"}},
		"invalid --ip-range \"10.9.0.9\"":      {subnets: []string{"10.9.0.0/24"}, ranges: []string{"10.9.0.9"}},
		"invalid gateway x: it is no IP addre": {subnets: []string{"10.9.0.0/24"}, gateways: []string{"x"}},
	} {
		if got, err := o.ipam(); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("want %q, got %+v, %v", say, got, err)
		}
	}
}

package network

import (
	"net/netip"
	"strings"
	"testing"

	model "lus/internal/model/network"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

// The pool for IPv6 is of unique local addresses, the host's and the instance's
// own, and the same each time.
func TestThePoolForIPv6IsOfTheHost(t *testing.T) {
	p := DefaultPool6("aaaaaa")
	if p != DefaultPool6("aaaaaa") || p == DefaultPool6("bbbbbb") {
		t.Errorf("pools: %s, %s, %s", p, DefaultPool6("aaaaaa"), DefaultPool6("bbbbbb"))
	}
	if p.Bits() != 48 || p != p.Masked() || !prefix("fd00::/8").Contains(p.Addr()) {
		t.Errorf("%s is no /48 of unique local addresses", p)
	}
}

// Subnets are chosen beside everything that is there, until there is none.
func TestIPv6SubnetsAreChosenWithoutAClash(t *testing.T) {
	m := &Manager{cfg: Config{Instance: "aaaaaa", Pool6: prefix("fd00:1:2::/62")}}
	used := []inUse{{prefix("fd00:1:2:1::/96"), "somebody"}, {prefix("10.0.0.0/8"), "IPv4"}}
	seen := map[netip.Prefix]bool{}
	for range 3 {
		s, err := m.choose6(used)
		if err != nil {
			t.Fatal(err)
		}
		if s.Bits() != 64 || seen[s] || !m.cfg.Pool6.Contains(s.Addr()) || s == prefix("fd00:1:2:1::/64") {
			t.Errorf("chosen: %s", s)
		}
		seen[s] = true
		used = append(used, inUse{s, "a network"})
	}
	if s, err := m.choose6(used); err == nil || !strings.Contains(err.Error(), "--subnet") {
		t.Errorf("a fifth of four: %s, %v", s, err)
	}
}

// A pool gives each address once, in turn, and none that it must not; of IPv6
// also where there are more than anybody could count.
func TestPoolsGiveWhatIsFree(t *testing.T) {
	for _, c := range []struct {
		pool  model.Pool
		given []string
	}{
		{model.Pool{Subnet: "10.0.0.0/29", Gateway: "10.0.0.3", Aux: map[string]string{"a": "10.0.0.5"}}, []string{"10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.6"}},
		{model.Pool{Subnet: "fd00:5::/125"}, []string{"fd00:5::2", "fd00:5::3", "fd00:5::4", "fd00:5::5", "fd00:5::6", "fd00:5::7"}},
		{model.Pool{Subnet: "fd00:5::/64", IPRange: "fd00:5::ff00/126", Gateway: "fd00:5::ff01"}, []string{"fd00:5::ff00", "fd00:5::ff02", "fd00:5::ff03"}},
	} {
		p, err := readPool("n", c.pool)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.given {
			ip, _, ok := p.next()
			if !ok || ip != addr(want) {
				t.Fatalf("%s gives %s, want %s", c.pool.Subnet, ip, want)
			}
			p.owner[ip], p.last = "c", ip
		}
		if ip, waiting, ok := p.next(); ok || waiting {
			t.Errorf("%s gives %s, which is too much", c.pool.Subnet, ip)
		}
		delete(p.owner, addr(c.given[1]))
		if ip, _, ok := p.next(); !ok || ip != addr(c.given[1]) {
			t.Errorf("%s does not give %s again", c.pool.Subnet, c.given[1])
		}
	}
	p := newPool(prefix("fd00:6::/64"))
	for range 300 {
		ip, _, ok := p.next()
		if !ok || p.owner[ip] != "" || ip == p.gateway {
			t.Fatalf("given: %s", ip)
		}
		p.owner[ip], p.last = "c", ip
	}
}

func TestSubnetsThatCannotBe(t *testing.T) {
	for _, s := range []string{"nonsense", "10.0.0.0/31", "10.0.0.0/4", "fe80::/64", "::/8", "ff02::/64", "fd00::/127", "::ffff:10.0.0.0/112"} {
		if p, err := readPool("n", model.Pool{Subnet: s}); err == nil {
			t.Errorf("%s is taken as %+v", s, p)
		}
	}
	for _, n := range []*model.Network{
		{IPAM: model.IPAM{Config: []model.Pool{{Subnet: "fd00::/64"}}}},
		{EnableIPv6: true, IPAM: model.IPAM{Config: []model.Pool{{Subnet: "fd00::/64"}, {Subnet: "fd01::/64"}}}},
		{EnableIPv6: true, IPAM: model.IPAM{Config: []model.Pool{{Subnet: "10.0.0.0/24"}, {Subnet: "10.0.1.0/24"}}}},
	} {
		if _, _, err := poolsOf(n); err == nil {
			t.Errorf("these pools are taken: %+v", n.IPAM.Config)
		}
	}
}

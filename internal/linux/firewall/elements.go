package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// Network is what the rules need to know of one bridge.
type Network struct {
	Bridge     string
	Subnet     netip.Prefix
	Internal   bool // no way out and none in
	Masquerade bool // outgoing traffic takes the host's address
	Talk       bool // its containers may talk to each other
}

// SetNetwork adds a bridge to the rules or changes what they say of it.
func (t *Table) SetNetwork(n Network) error {
	name := ifname(n.Bridge)
	from, to := interval(n.Subnet)
	return t.apply([]change{
		{set: setNets, key: from}, {set: setNets, key: to},
		{set: setBridges, key: name},
		{set: setInternal, key: name, del: !n.Internal},
		{set: setNAT, key: name, del: n.Internal || !n.Masquerade},
		{set: setSame, key: name + name, del: !n.Talk},
	})
}

// interval gives the keys of the subnet's first address and of the one after its last.
func interval(p netip.Prefix) (from, to string) {
	first := p.Masked().Addr().AsSlice()
	after := slices.Clone(first)
	// One more in the last bit of the prefix; what does not fit wraps to zero.
	carry := byte(1) << ((8 - p.Bits()%8) % 8)
	for i := (p.Bits() - 1) / 8; i >= 0 && carry != 0; i-- {
		after[i] += carry
		if carry = 0; after[i] == 0 {
			carry = 1
		}
	}
	return string(first), string(after) + intervalEnd
}

// RemoveNetwork takes a bridge and its subnet out of the rules. Where the
// subnet is not known (the zero Prefix) Retain removes it later.
func (t *Table) RemoveNetwork(bridge string, subnet netip.Prefix) error {
	name := ifname(bridge)
	changes := []change{
		{set: setInternal, key: name, del: true},
		{set: setNAT, key: name, del: true},
		{set: setSame, key: name + name, del: true},
		{set: setBridges, key: name, del: true},
	}
	if subnet.IsValid() {
		from, to := interval(subnet)
		changes = append(changes, change{set: setNets, key: from, del: true}, change{set: setNets, key: to, del: true})
	}
	return t.apply(changes)
}

// Retain removes every bridge and subnet but these.
func (t *Table) Retain(networks []Network) error {
	keep := map[change]bool{}
	for _, n := range networks {
		name := ifname(n.Bridge)
		from, to := interval(n.Subnet)
		for _, c := range []change{{set: setNets, key: from}, {set: setNets, key: to}, {set: setBridges, key: name},
			{set: setInternal, key: name}, {set: setNAT, key: name}, {set: setSame, key: name + name}} {
			keep[c] = true
		}
	}
	var changes []change
	t.mu.Lock()
	for _, set := range []string{setInternal, setNAT, setSame, setBridges, setNets} {
		for key := range t.elements[set] {
			if !keep[change{set: set, key: key}] {
				changes = append(changes, change{set: set, key: key, del: true})
			}
		}
	}
	t.mu.Unlock()
	return t.apply(changes)
}

// SetLoopback says whether ports are published on the loopback address too. It
// is asked of the table for IPv6 only.
func (t *Table) SetLoopback(on bool) error {
	return t.apply([]change{{set: setKept, key: string(t.family.own), del: on}})
}

// Bridges lists the bridges the rules know.
func (t *Table) Bridges() []string { return t.names(setBridges) }

// Uplinks lists the interfaces on which forwarding was switched on for our sake.
func (t *Table) Uplinks() []string { return t.names(setUplinks) }

func (t *Table) names(set string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for k := range t.elements[set] {
		out = append(out, strings.TrimRight(k, "\x00"))
	}
	slices.Sort(out)
	return out
}

// OthersSwitched reports whether another instance has switched forwarding on on an
// interface for its sake.
func (t *Table) OthersSwitched(iface string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tables, err := t.conn.ListTablesOfFamily(t.family.table)
	if err != nil {
		return false, fmt.Errorf("listing nftables tables: %w", errors.Join(err, t.dial()))
	}
	for _, other := range tables {
		if other.Name == t.name || !strings.HasPrefix(other.Name, "lus_") {
			continue
		}
		found, err := t.conn.GetSetElements(&nftables.Set{Table: other, Name: setUplinks, KeyType: nftables.TypeIFName})
		if err != nil { // it has just gone, or is of a version without
			if err := t.dial(); err != nil {
				return false, err
			}
			continue
		}
		if slices.ContainsFunc(found, func(e nftables.SetElement) bool { return string(e.Key) == ifname(iface) }) {
			return true, nil
		}
	}
	return false, nil
}

// SetUplinks replaces the list of Uplinks.
func (t *Table) SetUplinks(names []string) error {
	var changes []change
	for _, old := range t.Uplinks() {
		if !slices.Contains(names, old) {
			changes = append(changes, change{set: setUplinks, key: ifname(old), del: true})
		}
	}
	for _, n := range names {
		changes = append(changes, change{set: setUplinks, key: ifname(n)})
	}
	return t.apply(changes)
}

// Mapping is one published port.
type Mapping struct {
	Proto    uint8      // IPPROTO_TCP and the like
	HostIP   netip.Addr // 0.0.0.0 or ::: every address of the host
	HostPort uint16
	To       netip.AddrPort // in the container
}

func (m Mapping) change(del bool) change {
	key := []byte{m.Proto, 0, 0, 0}
	set := mapAny
	if !m.HostIP.IsUnspecified() {
		key, set = append(key, m.HostIP.AsSlice()...), mapIP
	}
	key = append(binary.BigEndian.AppendUint16(key, m.HostPort), 0, 0)
	val := append(binary.BigEndian.AppendUint16(m.To.Addr().AsSlice(), m.To.Port()), 0, 0)
	return change{set: set, key: string(key), val: string(val), del: del}
}

func (f family) mapping(set, key, val string) (m Mapping, ok bool) {
	const word = 4 // what is shorter is filled up to this
	k, v := []byte(key), []byte(val)
	size := 2 * word
	if set == mapIP {
		size += f.size
	}
	if len(k) < size || len(v) < f.size+word {
		return m, false
	}
	m.Proto, m.HostIP, k = k[0], f.every(), k[word:]
	if set == mapIP {
		m.HostIP, _ = netip.AddrFromSlice(k[:f.size])
		k = k[f.size:]
	}
	m.HostPort = binary.BigEndian.Uint16(k)
	to, _ := netip.AddrFromSlice(v[:f.size])
	m.To = netip.AddrPortFrom(to, binary.BigEndian.Uint16(v[f.size:]))
	return m, true
}

// Publish removes and adds mappings in one transaction; one that exists with
// another target is replaced.
func (t *Table) Publish(remove, add []Mapping) error {
	changes := make([]change, 0, len(remove)+len(add))
	for _, m := range remove {
		changes = append(changes, m.change(true))
	}
	for _, m := range add {
		changes = append(changes, m.change(false))
	}
	return t.apply(changes)
}

// Published lists the mappings in the table.
func (t *Table) Published() []Mapping {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Mapping
	for _, set := range []string{mapAny, mapIP} {
		for k, v := range t.elements[set] {
			if m, ok := t.family.mapping(set, k, v); ok {
				out = append(out, m)
			}
		}
	}
	return out
}

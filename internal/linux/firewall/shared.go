package firewall

import (
	"encoding/binary"
	"net/netip"
)

// Slots is how many places of a shared port are dealt out among its targets: a
// new connection takes one at random. Up to six targets, and eight, ten or
// twelve, get the same number each.
const Slots = 120

// Shared is one published port that several containers serve.
type Shared struct {
	Proto    uint8
	HostIP   netip.Addr // 0.0.0.0 or ::: every address of the host
	HostPort uint16
	To       []netip.AddrPort // none: nobody does
}

// changes are the elements by which the port leads to its targets: one where
// there is one, else a slot each.
func (s Shared) changes() []change {
	one := Mapping{Proto: s.Proto, HostIP: s.HostIP, HostPort: s.HostPort, To: netip.AddrPortFrom(s.HostIP, 0)}
	if len(s.To) == 1 {
		one.To = s.To[0]
	}
	single := one.change(len(s.To) != 1)
	if single.del {
		single.val = ""
	}
	out := append(make([]change, 0, Slots+1), single)
	set := mapAnyOf
	if !s.HostIP.IsUnspecified() {
		set = mapIPOf
	}
	for slot := range uint32(Slots) {
		c := change{set: set, key: string(binary.NativeEndian.AppendUint32([]byte(single.key), slot)), del: len(s.To) < 2}
		if !c.del {
			one.To = s.To[int(slot)%len(s.To)]
			c.val = one.change(false).val
		}
		out = append(out, c)
	}
	return out
}

// Share leads a shared port to its targets, in one transaction.
func (t *Table) Share(s Shared) error { return t.apply(s.changes()) }

// RetainShared makes these the only shared ports.
func (t *Table) RetainShared(all []Shared) error {
	var changes []change
	keep := map[change]bool{}
	for _, s := range all {
		for _, c := range s.changes() {
			changes = append(changes, c)
			keep[change{set: c.set, key: c.key}] = true
		}
	}
	t.mu.Lock()
	for _, set := range []string{mapAnyOf, mapIPOf} {
		for key := range t.elements[set] {
			if !keep[change{set: set, key: key}] {
				changes = append(changes, change{set: set, key: key, del: true})
			}
		}
	}
	t.mu.Unlock()
	return t.apply(changes)
}

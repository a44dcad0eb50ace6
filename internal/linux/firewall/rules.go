package firewall

import (
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The sets and maps. Bridges by name where the hook knows it, and not by
// address: a container that gives itself a foreign address is still behind its
// bridge. Traffic that a bridge passes through the hooks itself (br_netfilter)
// has no incoming interface after routing; for that one rule there is nets.
const (
	setNets     = "nets"     // the subnets of the bridges
	setBridges  = "bridges"  // all bridges of this instance
	setNAT      = "nat"      // those whose containers reach the outside by masquerade
	setInternal = "internal" // those without an outside
	setSame     = "same"     // bridge . bridge where its containers may talk to each other
	setUplinks  = "uplinks"  // interfaces on which forwarding was switched on for our sake
	mapAny      = "pub_any"  // proto . port : address . port
	mapIP       = "pub_ip"   // proto . host address . port : address . port
	mapAnyOf    = "bal_any"  // proto . port . slot : address . port, of ports that several share
	mapIPOf     = "bal_ip"   // proto . host address . port . slot : address . port
	setKept     = "kept"     // IPv6: ::1, where it cannot be translated
)

func (t *Table) setNames() []string {
	names := []string{setNets, setBridges, setNAT, setInternal, setSame, setUplinks, mapAny, mapIP, mapAnyOf, mapIPOf}
	if t.family.is6() {
		names = append(names, setKept)
	}
	return names
}

// bigBuffer makes room for the acknowledgements of a large transaction.
func bigBuffer(c *netlink.Conn) error { return c.SetReadBuffer(4 << 20) }

func (t *Table) describe() {
	t.table = &nftables.Table{Family: t.family.table, Name: t.name}
	address := t.family.kind
	t.elements = map[string]map[string]string{}
	pair := nftables.MustConcatSetType
	target := pair(address, nftables.TypeInetService)
	set := func(name string, key nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Table: t.table, Name: name, KeyType: key}
	}
	t.sets = map[string]*nftables.Set{
		setNets:     set(setNets, address),
		setBridges:  set(setBridges, nftables.TypeIFName),
		setNAT:      set(setNAT, nftables.TypeIFName),
		setInternal: set(setInternal, nftables.TypeIFName),
		setUplinks:  set(setUplinks, nftables.TypeIFName),
		setSame:     set(setSame, pair(nftables.TypeIFName, nftables.TypeIFName)),
		mapAny:      set(mapAny, pair(nftables.TypeInetProto, nftables.TypeInetService)),
		mapIP:       set(mapIP, pair(nftables.TypeInetProto, address, nftables.TypeInetService)),
		mapAnyOf:    set(mapAnyOf, pair(nftables.TypeInetProto, nftables.TypeInetService, nftables.TypeMark)),
		mapIPOf:     set(mapIPOf, pair(nftables.TypeInetProto, address, nftables.TypeInetService, nftables.TypeMark)),
	}
	if t.family.is6() {
		t.sets[setKept] = set(setKept, address)
	}
	t.sets[setNets].Interval = true
	t.sets[setSame].Concatenation = true
	for _, name := range []string{mapAny, mapIP, mapAnyOf, mapIPOf} {
		t.sets[name].Concatenation, t.sets[name].IsMap, t.sets[name].DataType = true, true, target
	}
	for _, s := range t.sets {
		s.KeyByteOrder = binaryutil.BigEndian
	}
	for _, name := range []string{setBridges, setNAT, setInternal, setUplinks, setSame} {
		t.sets[name].KeyByteOrder = binaryutil.NativeEndian
	}
}

// A rule is what it matches, one after the other, and what it does.
func rule(parts ...[]expr.Any) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// reg and those after it hold concatenated keys, four bytes each.
const reg = unix.NFT_REG32_00

func (t *Table) in(key expr.MetaKey, set string, not bool) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: unix.NFT_REG_1},
		&expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: set, SetID: t.sets[set].ID, Invert: not},
	}
}

func (t *Table) iif(set string) []expr.Any    { return t.in(expr.MetaKeyIIFNAME, set, false) }
func (t *Table) oif(set string) []expr.Any    { return t.in(expr.MetaKeyOIFNAME, set, false) }
func (t *Table) oifNot(set string) []expr.Any { return t.in(expr.MetaKeyOIFNAME, set, true) }

func (t *Table) fromNets() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: t.family.source, Len: uint32(t.family.size)},
		&expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: setNets, SetID: t.sets[setNets].ID},
	}
}

func (t *Table) toKept() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: t.family.dest, Len: uint32(t.family.size)},
		&expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: setKept, SetID: t.sets[setKept].ID},
	}
}

func (t *Table) samePair() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: unix.NFT_REG_1},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: unix.NFT_REG_2},
		&expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: setSame, SetID: t.sets[setSame].ID},
	}
}

func notLoopback() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: []byte(ifname("lo"))},
	}
}

// inOwn matches an address of the loopback, 127.0.0.0/8 or ::1, at an offset of
// the IP header.
func (t *Table) inOwn(offset uint32) []expr.Any {
	return equals(expr.PayloadBaseNetworkHeader, offset, t.family.own)
}

func ct(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: unix.NFT_REG_1},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4,
			Mask: binary.NativeEndian.AppendUint32(nil, bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: make([]byte, 4)},
	}
}

const ctStatusDNAT = 1 << 5 // IPS_DST_NAT

func translated() []expr.Any { return ct(expr.CtKeySTATUS, ctStatusDNAT) }

func toLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: unix.NFT_REG_1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)},
	}
}

// dnat looks proto [. address] . port [. a slot at random] up in a map and goes
// where it says. A miss ends the rule and not the chain. Only the first packet
// of a connection comes here: the others go where it went.
func (t *Table) dnat(m string, withAddress, balanced bool) []expr.Any {
	out := []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg}}
	next := uint32(reg + 1)
	if withAddress {
		out = append(out, &expr.Payload{DestRegister: next, Base: expr.PayloadBaseNetworkHeader, Offset: t.family.dest, Len: uint32(t.family.size)})
		next += t.family.registers()
	}
	out = append(out, &expr.Payload{DestRegister: next, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
	if balanced {
		out = append(out, &expr.Numgen{Register: next + 1, Modulus: Slots, Type: unix.NFT_NG_RANDOM})
	}
	return append(out,
		&expr.Lookup{SourceRegister: reg, DestRegister: reg, IsDestRegSet: true, SetName: m, SetID: t.sets[m].ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: t.family.proto, RegAddrMin: reg, RegProtoMin: reg + t.family.registers()})
}

func verdict(k expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: k}} }

func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

// UserChain is where an administrator filters what goes to containers and comes
// from them. Its rules are never touched.
const UserChain = "user"

// ownChains are the others, in the order in which nothing refers to one that
// is gone.
var ownChains = []string{"forward", "nat_pre", "nat_out", "nat_post", "raw_pre", "publish"}

// rules queues every chain with its rules, in place of what they held; those of
// UserChain stay.
func (t *Table) rules() {
	t.conn.AddChain(t.userChain())
	accept, drop := verdict(expr.VerdictAccept), verdict(expr.VerdictDrop)
	masquerade := []expr.Any{&expr.Masq{}}

	t.chain("publish", "", nil, 0,
		t.dnat(mapIP, true, false),
		t.dnat(mapAny, false, false),
		t.dnat(mapIPOf, true, true),
		t.dnat(mapAnyOf, false, true))
	// Loopback addresses never come in by wire: else route_localnet opens the
	// services on 127.0.0.1 to containers and neighbours (CVE-2020-8558).
	t.chain("raw_pre", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, -300,
		rule(notLoopback(), t.inOwn(t.family.dest), drop),
		rule(notLoopback(), t.inOwn(t.family.source), drop))
	t.chain("nat_pre", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, -100,
		rule(toLocal(), jump("publish")))
	out := [][]expr.Any{rule(toLocal(), jump("publish"))}
	if t.family.is6() {
		out = append([][]expr.Any{rule(t.toKept(), verdict(expr.VerdictReturn))}, out...)
	}
	t.chain("nat_out", nftables.ChainTypeNAT, nftables.ChainHookOutput, -100, out...)
	t.chain("nat_post", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, 100,
		// From 127.0.0.1 of the host: the container could not answer that.
		rule(t.oif(setBridges), t.inOwn(t.family.source), masquerade),
		// From a container through the host: the answer must come back this way.
		rule(t.oif(setBridges), t.fromNets(), translated(), masquerade),
		rule(t.iif(setNAT), t.oifNot(setBridges), masquerade))
	t.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, 0,
		rule(t.oif(setBridges), jump(UserChain)),
		rule(t.iif(setBridges), t.oifNot(setBridges), jump(UserChain)),
		rule(t.oif(setBridges), ct(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept),
		rule(t.oif(setBridges), ct(expr.CtKeySTATE, expr.CtStateBitINVALID), drop),
		rule(t.samePair(), accept),
		rule(t.iif(setInternal), drop),
		rule(t.oif(setInternal), drop),
		rule(t.oif(setBridges), translated(), accept),
		rule(t.oif(setBridges), drop),
		// We switched forwarding on for containers, not to make a router of the host.
		rule(t.iif(setUplinks), t.oif(setUplinks), drop))
}

func (t *Table) userChain() *nftables.Chain { return &nftables.Chain{Table: t.table, Name: UserChain} }

func (t *Table) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority int32, rules ...[]expr.Any) {
	c := &nftables.Chain{Table: t.table, Name: name}
	if hook != nil {
		c.Type, c.Hooknum, c.Priority = kind, hook, nftables.ChainPriorityRef(nftables.ChainPriority(priority))
	}
	t.conn.AddChain(c)
	t.conn.FlushChain(c)
	for _, exprs := range rules {
		t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c, Exprs: exprs})
	}
}

// ifname is an interface name as the kernel compares it: 16 bytes.
func ifname(s string) string {
	var b [unix.IFNAMSIZ]byte
	copy(b[:], s)
	return string(b[:])
}

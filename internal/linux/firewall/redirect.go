package firewall

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Redirect makes connections to a local address and port, by TCP and UDP, reach
// another port of that address, in the network namespace of the calling thread.
// It rewrites the two port numbers and does not translate addresses: that needs
// the kernel to keep track of every connection in the namespace. Made again it
// replaces what it made.
func Redirect(table string, at netip.AddrPort, to uint16) error {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return fmt.Errorf("connecting to nftables: %w", err)
	}
	defer func() { _ = conn.CloseLasting() }()
	t := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: table})
	// What tracks connections, if anything does, sees the port that is served:
	// questions are rewritten before it and answers after it.
	for _, c := range []struct {
		name     string
		priority nftables.ChainPriority
		address  uint32 // offsets in the headers
		port     uint32
		old, new uint16
	}{
		{"questions", -300, ipv4().dest, 2, at.Port(), to},
		{"answers", 300, ipv4().source, 0, to, at.Port()},
	} {
		chain := conn.AddChain(&nftables.Chain{Table: t, Name: c.name, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRef(c.priority)})
		conn.FlushChain(chain)
		conn.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: rule(
			equals(expr.PayloadBaseNetworkHeader, c.address, at.Addr().AsSlice()),
			[]expr.Any{
				&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG_1},
				&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: []byte{unix.IPPROTO_ICMP}},
			},
			equals(expr.PayloadBaseTransportHeader, c.port, binary.BigEndian.AppendUint16(nil, c.old)),
			[]expr.Any{
				&expr.Immediate{Register: unix.NFT_REG_1, Data: binary.BigEndian.AppendUint16(nil, c.new)},
				// One rule for both protocols, since every rule costs a start
				// time: the checksum of TCP is always left to the interface.
				&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: unix.NFT_REG_1,
					Base: expr.PayloadBaseTransportHeader, Offset: c.port, Len: 2,
					CsumType: expr.CsumTypeInet, CsumOffset: udpChecksum},
			})})
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("making the nftables table %s: %w", table, err)
	}
	return nil
}

// udpChecksum is where the checksum is in UDP's header.
const udpChecksum = 6

// equals matches bytes of a header.
func equals(base expr.PayloadBase, offset uint32, value []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: base, Offset: offset, Len: uint32(len(value))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: value},
	}
}

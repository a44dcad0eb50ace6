package firewall

import (
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// family is what differs between the versions of IP.
type family struct {
	word   string // as nft writes it
	table  nftables.TableFamily
	proto  uint32
	size   int    // of an address in bytes
	source uint32 // where the addresses are in the header
	dest   uint32
	kind   nftables.SetDatatype
	// own is what an address of the host's loopback begins with.
	own []byte
}

func ipv4() family {
	return family{word: "ip", table: nftables.TableFamilyIPv4, proto: unix.NFPROTO_IPV4, size: 4, source: 12, dest: 16,
		kind: nftables.TypeIPAddr, own: []byte{127}}
}

func ipv6() family {
	return family{word: "ip6", table: nftables.TableFamilyIPv6, proto: unix.NFPROTO_IPV6, size: 16, source: 8, dest: 24,
		kind: nftables.TypeIP6Addr, own: netip.IPv6Loopback().AsSlice()}
}

func (f family) is6() bool { return f.size == 16 }

// registers is how many of four bytes an address takes.
func (f family) registers() uint32 { return uint32(f.size / 4) }

// openEnd is the key of the interval that ends before the first address.
func (f family) openEnd() string { return strings.Repeat("\x00", f.size) + intervalEnd }

// every is the address that stands for all of the host's.
func (f family) every() netip.Addr {
	if f.is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

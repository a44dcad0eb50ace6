package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"lus/internal/base/errs"
	"lus/internal/linux/firewall"
	"lus/internal/linux/network/internal/rtnl"
)

const confDir6 = "/proc/sys/net/ipv6/conf"

// leastMTU6 is how large an interface's packets have to be for the kernel to have
// IPv6 on it.
const leastMTU6 = 1280

// hasIPv6 reports whether the kernel has IPv6 on an interface of that MTU.
func (m *Manager) hasIPv6(mtu uint32) bool { return m.v6 && mtu >= leastMTU6 }

// speaksIPv6 says why a network with IPv6 cannot be had on this host.
func (m *Manager) speaksIPv6(network string) error {
	switch b, err := os.ReadFile(filepath.Join(confDir6, "all/disable_ipv6")); {
	case err != nil:
		return errs.New(errs.Unsupported, "network %s: this host's kernel has no IPv6: leave --ipv6 out", network)
	case strings.TrimSpace(string(b)) != "0":
		return errs.New(errs.Unsupported, "network %s: IPv6 is switched off on this host: leave --ipv6 out, or run: sysctl -w net.ipv6.conf.all.disable_ipv6=0", network)
	}
	return nil
}

// furnish6 gives a bridge what IPv6 needs: rules, settings, an address.
func (m *Manager) furnish6(b *bridge, n firewall.Network) error {
	fw, err := m.fw.needSix()
	if err != nil {
		return err
	}
	m.watching6.Do(m.work.watch6)
	if err := fw.SetNetwork(n); err != nil {
		return err
	}
	if err := fw.SetLoopback(loopbackTranslates()); err != nil {
		return err
	}
	// The host is no host on this bridge to whom a container may say where
	// routers are.
	for _, name := range []string{"disable_ipv6", "accept_ra"} {
		if err := m.sysctl(filepath.Join(confDir6, b.name, name), "0"); err != nil {
			return err
		}
	}
	gateway := netip.PrefixFrom(b.pool6.gateway, b.pool6.subnet.Bits())
	// Who has no address for the link cannot ask on it for others' addresses.
	onLink := netip.PrefixFrom(netip.MustParseAddr("fe80::1"), 64)
	err = m.rt.Do(rtnl.AddAddress(b.index, gateway), rtnl.AddAddress(b.index, onLink), rtnl.LoopbackBy(b.index))
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("giving bridge %s its IPv6 address: %w", b.name, err)
	}
	return nil
}

// bridgedRules says whether the kernel shows what crosses a bridge to the rules
// for IPv6.
const bridgedRules = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"

// loopbackTranslates reports whether a port on ::1 can lead to a container. The
// kernel drops what comes in for ::1, and rules that are shown bridged packets
// turn the answers into such before it looks.
func loopbackTranslates() bool { return !isOn(bridgedRules) }

// prepare6 readies a container's interface for IPv6: on, and deaf to routers.
func (m *Manager) prepare6(netns *os.File, ifName string) error {
	return rtnl.Inside(netns, m.home, func() error {
		for _, name := range []string{"disable_ipv6", "accept_ra"} {
			if err := m.sysctl(filepath.Join(confDir6, ifName, name), "0"); err != nil {
				return err
			}
		}
		return nil
	})
}

// addresses6 are the addresses of a container's interface: its own and one for
// the link.
func addresses6(index int32, ep Endpoint) []*rtnl.Message {
	return []*rtnl.Message{rtnl.AddAddress(index, ep.IP6), rtnl.AddAddress(index, linkLocal(ep))}
}

// linkLocal is made of the hardware address, as the kernel does it, or of the
// other address where several containers have one hardware address.
func linkLocal(ep Endpoint) netip.Prefix {
	ip := ep.IP6.Addr().As16()
	if m := ep.MAC; len(m) == 6 {
		copy(ip[8:], []byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
	}
	copy(ip[:8], []byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0})
	return netip.PrefixFrom(netip.AddrFrom16(ip), 64)
}

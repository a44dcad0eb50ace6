package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/linux/network/internal/rtnl"
)

// Of IPv6 a kernel forwards what comes in by any interface or, before 6.17, by
// none. The former is made of it where it can be: then the host becomes a router
// for containers alone. Else it becomes one, and the rules say between whom.

// everywhere is the switch of all interfaces; in the list of those switched for
// our sake it tells that this one was.
const everywhere = "all"

func forwarding6(iface string) string { return filepath.Join(confDir6, iface, "forwarding") }
func forced6(iface string) string     { return filepath.Join(confDir6, iface, "force_forwarding") }

// switchesEach reports whether the kernel has the switch of one interface.
func switchesEach() bool {
	b, err := os.ReadFile(forced6(everywhere))
	return err == nil && len(b) > 0
}

// watch6 is watch for IPv6.
func (w *worker) watch6() {
	w.done.Go(func() {
		groups := []int{unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_NETCONF}
		err := rtnl.Events(w.stopCh, unix.NETLINK_ROUTE, groups, nil, func(kind uint16, body []byte) {
			news := !rtnl.OfLink(body) || w.m.routesLink(body)
			if kind == unix.RTM_NEWNETCONF || kind == unix.RTM_DELNETCONF {
				news = rtnl.ConcernsAll(body)
			}
			if news {
				w.m.refreshUplinks()
			}
		})
		if err != nil {
			w.m.log.Warn("watching the host's IPv6 addresses", "err", err)
		}
	})
}

// uplinks6 is uplinks for IPv6: there is something to do only while a network
// speaks it.
func (m *Manager) uplinks6() error {
	fw := m.fw.six()
	if fw == nil {
		return nil
	}
	bridges := fw.Bridges()
	ours := fw.Uplinks()
	if isOn(forwarding6(everywhere)) && !slices.Contains(ours, everywhere) {
		// One that another instance made is one for our sake too: it may go first.
		if shared, err := fw.OthersSwitched(everywhere); err != nil || !shared {
			return errors.Join(err, fw.SetUplinks(nil)) // a router anyway
		}
	}
	if len(bridges) == 0 {
		return nil
	}
	each := switchesEach()
	outward, err := m.outward6(each)
	if err != nil {
		return err
	}
	if !each {
		return m.route6(outward)
	}
	others := m.otherInstances()
	var set []string
	for _, name := range slices.Concat(bridges, outward) {
		isBridge := slices.Contains(bridges, name)
		if !isBridge && (!isOn(forced6(name)) || slices.Contains(ours, name) || others) {
			set = append(set, name)
		}
	}
	// The rule before the switch.
	if err := fw.SetUplinks(set); err != nil {
		return err
	}
	for _, name := range slices.Concat(bridges, set) {
		if err := m.sysctl(forced6(name), "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w; containers cannot reach the outside by IPv6 on %s until you run: sysctl -w net.ipv6.conf.%s.force_forwarding=1", err, name, name)
		}
	}
	return nil
}

// routesLink reports whether the news of an address for the link alone, which
// each cable has, is about an interface by which a host that is a router
// forwards.
func (m *Manager) routesLink(body []byte) bool {
	fw := m.fw.six()
	if fw == nil || !slices.Contains(fw.Uplinks(), everywhere) {
		return false
	}
	l, err := m.rt.LinkAt(rtnl.AddressLink(body))
	return err == nil && l.Master == 0
}

// outward6 are the host's interfaces with an address of IPv6 that are not ours;
// unless wide, those too that have one for their link alone.
func (m *Manager) outward6(wide bool) ([]string, error) {
	links, err := m.rt.Links()
	if err != nil {
		return nil, err
	}
	addresses, err := m.rt.Addresses(unix.AF_INET6)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range links {
		has := slices.ContainsFunc(addresses, func(a rtnl.Address) bool {
			// By a port of a bridge nothing is routed, though it has such an address.
			counts := !a.Prefix.Addr().IsLinkLocalUnicast() || !wide && l.Master == 0
			return a.Index == l.Index && counts
		})
		if has && l.Name != "lo" && !strings.HasPrefix(l.Alias, "lus:") {
			out = append(out, l.Name)
		}
	}
	return out, nil
}

// route6 makes a router of the host whose kernel knows nothing in between, which
// forwards by interfaces too that have an address for their link alone. An
// interface that listens to routers is told to go on: as a router it would not.
func (m *Manager) route6(outward []string) error {
	fw := m.fw.six()
	if err := fw.SetUplinks(append(outward, everywhere)); err != nil {
		return err
	}
	if isOn(forwarding6(everywhere)) {
		return nil
	}
	all, err := filepath.Glob(filepath.Join(confDir6, "*", "accept_ra"))
	if err != nil {
		return err
	}
	for _, path := range all {
		name := filepath.Base(filepath.Dir(path))
		if name == everywhere || !isOn(path) || strings.HasPrefix(name, "lus") {
			continue
		}
		if err := m.sysctl(path, "2"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := m.sysctl(forwarding6(everywhere), "1"); err != nil {
		return fmt.Errorf("%w; containers cannot reach the outside by IPv6 until you run: sysctl -w net.ipv6.conf.all.forwarding=1", err)
	}
	return nil
}

// restoreForwarding6 switches off what was switched on.
func (m *Manager) restoreForwarding6() {
	fw := m.fw.six()
	if fw == nil {
		return
	}
	for _, name := range fw.Uplinks() {
		path := forced6(name)
		if name == everywhere {
			path = forwarding6(name)
		} else if !switchesEach() {
			continue
		}
		if err := os.WriteFile(path, []byte("0"), 0); err != nil && !os.IsNotExist(err) {
			m.log.Warn("switching IPv6 forwarding off again", "interface", name, "err", err)
		}
	}
}

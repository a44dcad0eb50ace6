package network

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/linux/network/internal/rtnl"
)

func randomStart() uint32 { return rand.Uint32() | 1 }

// watch looks at the uplinks again whenever an address or the host-wide
// forwarding setting changes: a cable plugged in, a VPN that came up, an
// administrator who made the host a router.
func (w *worker) watch() {
	defer w.done.Done()
	groups := []int{unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_NETCONF}
	err := rtnl.Events(w.stopCh, unix.NETLINK_ROUTE, groups, nil, func(kind uint16, body []byte) {
		switch kind {
		case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
			// The kernel also tells the settings of each cable that comes or goes.
			if !rtnl.ConcernsAll(body) {
				return
			}
		}
		w.m.refreshUplinks()
	})
	if err != nil {
		w.m.log.Warn("watching the host's addresses", "err", err)
	}
}

const confDir = "/proc/sys/net/ipv4/conf"

func forwarding(iface string) string { return filepath.Join(confDir, iface, "forwarding") }

func isOn(path string) bool {
	b, err := os.ReadFile(path)
	return err == nil && string(bytes.TrimSpace(b)) == "1"
}

// refreshUplinks switches forwarding on where answers to containers come in:
// on every interface with an address that is not itself a bridge of ours.
// The host-wide switch stays as it is. What was switched is remembered in the
// nftables table, whose rules keep the host from routing between such
// interfaces; where the host is a router anyway there is nothing to do.
func (m *Manager) refreshUplinks() {
	m.upMu.Lock()
	defer m.upMu.Unlock()
	if err := errors.Join(m.uplinks(), m.uplinks6()); err != nil {
		m.log.Warn("switching on forwarding for containers", "err", err)
	}
}

func (m *Manager) uplinks() error {
	if isOn(forwarding("all")) {
		return m.fw.v4.SetUplinks(nil)
	}
	m.mu.Lock()
	wanted := len(m.bridges) > 0
	m.mu.Unlock()
	if !wanted {
		return nil
	}
	links, err := m.rt.Links()
	if err != nil {
		return err
	}
	addresses, err := m.rt.Addresses(unix.AF_INET)
	if err != nil {
		return err
	}
	// Who makes a router of the host and takes it back switches the bridges off
	// with all the rest.
	for _, name := range m.fw.v4.Bridges() {
		if err := m.sysctl(forwarding(name), "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	ours := m.fw.v4.Uplinks()
	others := m.otherInstances()
	var set []string
	for _, l := range links {
		hasAddress := slices.ContainsFunc(addresses, func(a rtnl.Address) bool { return a.Index == l.Index })
		if !hasAddress || l.Name == "lo" || strings.HasPrefix(l.Alias, "lus:") {
			continue
		}
		if isOn(forwarding(l.Name)) {
			// Switched on by us, by another instance, or by the administrator.
			if slices.Contains(ours, l.Name) || others {
				set = append(set, l.Name)
			}
			continue
		}
		// The rule before the switch.
		if err := m.fw.v4.SetUplinks(append(slices.Clone(ours), l.Name)); err != nil {
			return err
		}
		if err := m.sysctl(forwarding(l.Name), "1"); err != nil {
			return fmt.Errorf("%w; containers cannot reach the outside by %s until you run: sysctl -w net.ipv4.conf.%s.forwarding=1", err, l.Name, l.Name)
		}
		set = append(set, l.Name)
		ours = append(ours, l.Name)
	}
	return m.fw.v4.SetUplinks(set)
}

// otherInstances reports whether another instance has bridges here.
func (m *Manager) otherInstances() bool {
	links, err := m.rt.Links()
	return err == nil && slices.ContainsFunc(links, func(l rtnl.Link) bool {
		return l.Kind == "bridge" && strings.HasPrefix(l.Alias, "lus:") && !strings.HasPrefix(l.Alias, "lus:"+m.cfg.Instance+":")
	})
}

// restoreForwarding switches off what was switched on, unless another instance needs it.
func (m *Manager) restoreForwarding() {
	if m.otherInstances() {
		return
	}
	m.restoreForwarding6()
	for _, name := range m.fw.v4.Uplinks() {
		if err := os.WriteFile(forwarding(name), []byte("0"), 0); err != nil && !os.IsNotExist(err) {
			m.log.Warn("switching forwarding off again", "interface", name, "err", err)
		}
	}
}

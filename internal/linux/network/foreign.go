package network

import (
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/linux/network/internal/rtnl"
)

// calm is how long after a change the rules of others are looked at: a firewall
// that reloads makes many changes.
const calm = 300 * time.Millisecond

// watchRules has the surroundings looked at whenever somebody changes the
// host's rules: a firewall that starts or reloads, an administrator who flushes
// all. The elements of sets, which is what every start of ours changes, wake
// nobody.
func (w *worker) watchRules() {
	defer w.done.Done()
	var soon atomic.Bool
	const newSetElement, delSetElement = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWSETELEM, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELSETELEM
	err := rtnl.Events(w.stopCh, unix.NETLINK_NETFILTER, []int{unix.NFNLGRP_NFTABLES}, []uint16{newSetElement, delSetElement}, func(uint16, []byte) {
		if soon.Swap(true) {
			return
		}
		time.AfterFunc(calm, func() {
			soon.Store(false)
			w.looked.Store(0)
			w.signal()
		})
	})
	if err != nil {
		w.m.log.Warn("watching the host's firewall", "err", err)
	}
}

// checkForeign looks for rule sets beside ours that drop what a bridge
// forwards, adds a rule where one belongs, and keeps a warning where a person
// must do it.
func (m *Manager) checkForeign(bridge string) {
	m.foreignMu.Lock()
	defer m.foreignMu.Unlock()
	m.admit(bridge)
}

// recheckForeign does it for a bridge that was there a moment ago: what is added
// for one that goes meanwhile would stay.
func (m *Manager) recheckForeign(bridge string) {
	m.foreignMu.Lock()
	defer m.foreignMu.Unlock()
	if slices.Contains(m.fw.bridges(), bridge) {
		m.admit(bridge)
	}
}

func (m *Manager) admit(bridge string) {
	warnings, err := m.fw.admit(bridge)
	if err != nil {
		m.log.Warn("looking for other firewalls", "bridge", bridge, "err", err)
		return
	}
	m.mu.Lock()
	known := m.warnings[bridge]
	if len(warnings) == 0 {
		delete(m.warnings, bridge)
	} else {
		m.warnings[bridge] = warnings
	}
	m.mu.Unlock()
	for _, w := range warnings {
		if !slices.Contains(known, w) {
			m.log.Warn(w)
		}
	}
}

// forgetForeign takes back what checkForeign added.
func (m *Manager) forgetForeign(bridge string) {
	if err := m.fw.dismiss(bridge); err != nil {
		m.log.Warn("removing rules from another firewall", "bridge", bridge, "err", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.warnings, bridge)
}

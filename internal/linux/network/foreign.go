package network

// checkForeign looks for rule sets beside ours that drop what a bridge
// forwards, adds a rule where one belongs, and keeps a warning where a person
// must do it.
func (m *Manager) checkForeign(bridge string) {
	warning, err := m.fw.Admit(bridge)
	if err != nil {
		m.log.Warn("looking for other firewalls", "bridge", bridge, "err", err)
		return
	}
	m.mu.Lock()
	news := warning != "" && m.warnings[bridge] != warning
	if warning == "" {
		delete(m.warnings, bridge)
	} else {
		m.warnings[bridge] = warning
	}
	m.mu.Unlock()
	if news {
		m.log.Warn(warning)
	}
}

// forgetForeign takes back what checkForeign added.
func (m *Manager) forgetForeign(bridge string) {
	if err := m.fw.Dismiss(bridge); err != nil {
		m.log.Warn("removing rules from another firewall", "bridge", bridge, "err", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.warnings, bridge)
}

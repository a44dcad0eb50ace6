package network

import (
	"errors"
	"net/netip"
	"slices"
	"sync"

	"lus/internal/linux/firewall"
)

// rules are the instance's nftables tables. That for IPv6 is made with the
// first network that needs it, so that a host without costs nothing more.
type rules struct {
	name string
	v4   *firewall.Table

	mu sync.Mutex
	v6 *firewall.Table
}

func openRules(name string) (*rules, error) {
	v4, err := firewall.Open(name)
	if err != nil {
		return nil, err
	}
	return &rules{name: name, v4: v4}, nil
}

// six is the table for IPv6; nil where no network has needed it.
func (r *rules) six() *firewall.Table {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.v6
}

// needSix makes the table for IPv6, or takes it over.
func (r *rules) needSix() (t *firewall.Table, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.v6 == nil {
		r.v6, err = firewall.Open6(r.name)
	}
	return r.v6, err
}

// takeSix takes the table for IPv6 over where a former daemon left one.
func (r *rules) takeSix() error {
	if r.six() != nil {
		return nil
	}
	there, err := firewall.Has6(r.name)
	if err == nil && there {
		_, err = r.needSix()
	}
	return err
}

func (r *rules) tables() []*firewall.Table {
	if v6 := r.six(); v6 != nil {
		return []*firewall.Table{r.v4, v6}
	}
	return []*firewall.Table{r.v4}
}

func (r *rules) each(do func(*firewall.Table) error) error {
	var failed error
	for _, t := range r.tables() {
		failed = errors.Join(failed, do(t))
	}
	return failed
}

func (r *rules) Close() error { return r.each((*firewall.Table).Close) }

func (r *rules) Delete() error { return r.each((*firewall.Table).Delete) }

func (r *rules) check() (vanished bool, err error) {
	err = r.each(func(t *firewall.Table) error {
		gone, err := t.Check()
		vanished = vanished || gone
		return err
	})
	return vanished, err
}

// bridges are those that any table knows.
func (r *rules) bridges() []string {
	out := r.v4.Bridges()
	if v6 := r.six(); v6 != nil {
		out = append(out, v6.Bridges()...)
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out
}

// forSix reports whether a rule is one for IPv6.
func forSix(m firewall.Mapping) bool { return m.To.Addr().Is6() }

// publish removes and adds mappings, all or none.
func (r *rules) publish(remove, add []firewall.Mapping) error {
	remove4, remove6 := split(remove)
	add4, add6 := split(add)
	if len(remove4)+len(add4) > 0 {
		if err := r.v4.Publish(remove4, add4); err != nil {
			return err
		}
	}
	v6 := r.six()
	if len(remove6)+len(add6) == 0 || v6 == nil {
		return nil
	}
	err := v6.Publish(remove6, add6)
	if err != nil && len(remove4)+len(add4) > 0 {
		err = errors.Join(err, r.v4.Publish(add4, remove4))
	}
	return err
}

func split(all []firewall.Mapping) (v4, v6 []firewall.Mapping) {
	for _, m := range all {
		if forSix(m) {
			v6 = append(v6, m)
		} else {
			v4 = append(v4, m)
		}
	}
	return v4, v6
}

func (r *rules) published() []firewall.Mapping {
	var out []firewall.Mapping
	for _, t := range r.tables() {
		out = append(out, t.Published()...)
	}
	return out
}

// tableFor is the table of an address's version of IP.
func (r *rules) tableFor(ip netip.Addr) *firewall.Table {
	if v6 := r.six(); ip.Is6() && v6 != nil {
		return v6
	}
	return r.v4
}

func (r *rules) share(s firewall.Shared) error { return r.tableFor(s.HostIP).Share(s) }

func (r *rules) retainShared(all []firewall.Shared) error {
	var v4, v6 []firewall.Shared
	for _, s := range all {
		if s.HostIP.Is6() {
			v6 = append(v6, s)
		} else {
			v4 = append(v4, s)
		}
	}
	err := r.v4.RetainShared(v4)
	if t := r.six(); t != nil {
		err = errors.Join(err, t.RetainShared(v6))
	}
	return err
}

// removeNetwork takes a bridge out of the rules; subnets that are not known
// (the zero Prefix) go later.
func (r *rules) removeNetwork(bridge string, subnet, subnet6 netip.Prefix) error {
	err := r.v4.RemoveNetwork(bridge, subnet)
	if v6 := r.six(); v6 != nil {
		err = errors.Join(err, v6.RemoveNetwork(bridge, subnet6))
	}
	return err
}

// admit has other firewalls let a bridge's traffic through.
func (r *rules) admit(bridge string) (warnings []string, err error) {
	for _, t := range r.tables() {
		if t != r.v4 && !slices.Contains(t.Bridges(), bridge) {
			continue
		}
		more, terr := t.Admit(bridge)
		err = errors.Join(err, terr)
		for _, w := range more {
			if !slices.Contains(warnings, w) { // some commands let both versions through
				warnings = append(warnings, w)
			}
		}
	}
	return warnings, err
}

func (r *rules) dismiss(bridge string) error {
	return r.each(func(t *firewall.Table) error { return t.Dismiss(bridge) })
}

package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// An accept in our table does not undo a drop in another one: a packet must
// please every chain of the hook. So what others drop by policy must be
// admitted in their own chains, in the place they leave for that.
const dockerUser = "DOCKER-USER"

// surroundings are the other tables' chains.
type surroundings struct {
	chains []*nftables.Chain
	rules  func(*nftables.Chain) []*nftables.Rule
}

// look lists the chains beside ours. Chains are described by the kernel;
// rules are read only where they matter.
func (t *Table) look() (surroundings, error) {
	all, err := t.conn.ListChains()
	if err != nil {
		return surroundings{}, fmt.Errorf("listing nftables chains: %w", errors.Join(err, t.dial()))
	}
	s := surroundings{rules: func(c *nftables.Chain) []*nftables.Rule {
		rules, err := t.conn.GetRules(c.Table, c)
		if err != nil {
			return nil // a rule of a kind we cannot read says nothing of our bridges
		}
		return rules
	}}
	for _, c := range all {
		if c.Table != nil && !strings.HasPrefix(c.Table.Name, "lus_") {
			s.chains = append(s.chains, c)
		}
	}
	return s, nil
}

func (s surroundings) chain(family nftables.TableFamily, table, name string) *nftables.Chain {
	for _, c := range s.chains {
		if c.Table.Family == family && c.Table.Name == table && c.Name == name {
			return c
		}
	}
	return nil
}

// dropsForwarded: a chain that drops what nobody accepted before, by its policy
// or by its last rule.
func (s surroundings) dropsForwarded(f family, c *nftables.Chain) bool {
	// What stands in an inet table is warned of once, by the table for IPv4.
	family := c.Table.Family == f.table || !f.is6() && c.Table.Family == nftables.TableFamilyINet
	if !family || c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward || c.Type != nftables.ChainTypeFilter {
		return false
	}
	if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
		return true
	}
	rules := s.rules(c)
	return len(rules) > 0 && refusesAll(rules[len(rules)-1])
}

// refusesAll: the rule matches every packet and lets none through.
func refusesAll(r *nftables.Rule) bool {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log:
		case *expr.Reject:
			return true
		case *expr.Target: // as iptables writes it
			return e.Name == "REJECT"
		case *expr.Verdict:
			return e.Kind == expr.VerdictDrop
		default:
			return false
		}
	}
	return false
}

// Admit adds what other firewalls need to let a bridge's traffic through:
// plain rules in Docker's DOCKER-USER chain, the trusted zone of firewalld.
// Where only a person should change things, a warning holds the command.
func (t *Table) Admit(bridge string) (warnings []string, err error) {
	warnings, zone, err := t.admitByRules(bridge)
	if err != nil {
		return nil, err
	}
	// Programs take their time; the table is not locked meanwhile.
	if zone {
		warnings = append(warnings, admitInFirewalld(bridge))
	}
	warnings = append(warnings, t.family.admitInLegacy(bridge))
	return slices.DeleteFunc(warnings, func(w string) bool { return w == "" }), nil
}

// admitByRules does what nftables itself can do; zone tells that firewalld
// runs and does not know the bridge yet.
func (t *Table) admitByRules(bridge string) (warnings []string, zone bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.look()
	if err != nil {
		return nil, false, err
	}
	docker := s.chain(t.family.table, "filter", dockerUser)
	if docker != nil {
		if err := t.admitInDocker(s, docker, bridge); err != nil {
			return nil, false, err
		}
	}
	for _, c := range s.chains {
		inDockers := docker != nil && c.Table.Family == docker.Table.Family && c.Table.Name == docker.Table.Name
		if !inDockers && !firewallds(c) && s.dropsForwarded(t.family, c) && !s.admitted(c, bridge) {
			warnings = append(warnings, t.family.blocked(s, c, bridge))
		}
	}
	return warnings, !t.family.is6() && s.hasFirewalld() && !s.trusted(bridge), nil
}

func firewallds(c *nftables.Chain) bool {
	return c.Table.Family == nftables.TableFamilyINet && c.Table.Name == "firewalld"
}

func (s surroundings) hasFirewalld() bool { return slices.ContainsFunc(s.chains, firewallds) }

// trusted reports whether firewalld's rules lead the bridge's traffic to its
// trusted zone: asking its program takes the better part of a second.
func (s surroundings) trusted(bridge string) bool {
	for _, c := range s.chains {
		if !firewallds(c) || !strings.HasPrefix(c.Name, "filter_F") {
			continue
		}
		for _, r := range s.rules(c) {
			v, ok := verdictOn(r, expr.MetaKeyIIFNAME, bridge)
			if ok && strings.HasPrefix(v.Chain, "filter_FWD") && strings.HasSuffix(v.Chain, "_trusted") {
				return true
			}
		}
	}
	return false
}

// blocked words the warning for a chain that drops.
func (f family) blocked(s surroundings, c *nftables.Chain, bridge string) string {
	family := f.word
	if c.Table.Family == nftables.TableFamilyINet {
		family = "inet"
	}
	what := fmt.Sprintf("the chain %s of the nftables table %s %s drops forwarded traffic", c.Name, family, c.Table.Name)
	command := fmt.Sprintf("nft insert rule %[1]s %[2]s %[3]s iifname %[4]s accept && nft insert rule %[1]s %[2]s %[3]s oifname %[4]s accept", family, c.Table.Name, c.Name, bridge)
	if s.chain(c.Table.Family, c.Table.Name, f.ufw()) != nil {
		what = "ufw drops forwarded traffic"
		command = fmt.Sprintf("ufw route allow in on %[1]s && ufw route allow out on %[1]s", bridge)
	} else if family == f.word && c.Table.Name == "filter" && c.Name == "FORWARD" {
		what = f.iptables() + "' FORWARD chain drops what it does not accept"
		command = fmt.Sprintf("%[2]s -I FORWARD -i %[1]s -j ACCEPT && %[2]s -I FORWARD -o %[1]s -j ACCEPT", bridge, f.iptables())
	}
	return fmt.Sprintf("%s, so containers on %s cannot reach the outside; to allow it run: %s", what, bridge, command)
}

// admitted reports whether the table of a dropping chain accepts a bridge both ways.
func (s surroundings) admitted(drops *nftables.Chain, bridge string) bool {
	var in, out bool
	for _, c := range s.chains {
		if c.Table.Family != drops.Table.Family || c.Table.Name != drops.Table.Name {
			continue
		}
		// The chain itself, those without a hook that it may jump to, and no
		// chain of another hook.
		if c.Hooknum != nil && c.Name != drops.Name {
			continue
		}
		for _, r := range s.rules(c) {
			in = in || accepts(r, expr.MetaKeyIIFNAME, bridge)
			out = out || accepts(r, expr.MetaKeyOIFNAME, bridge)
		}
	}
	return in && out
}

// accepts: the rule matches the interface and accepts.
func accepts(r *nftables.Rule, key expr.MetaKey, bridge string) bool {
	v, ok := verdictOn(r, key, bridge)
	return ok && v.Kind == expr.VerdictAccept
}

// verdictOn is what a rule decides of the packets of an interface.
func verdictOn(r *nftables.Rule, key expr.MetaKey, bridge string) (*expr.Verdict, bool) {
	matches := false
	for i, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Meta:
			if e.Key != key || i+1 >= len(r.Exprs) {
				continue
			}
			cmp, ok := r.Exprs[i+1].(*expr.Cmp)
			matches = matches || ok && cmp.Op == expr.CmpOpEq && string(bytes.TrimRight(cmp.Data, "\x00")) == bridge
		case *expr.Verdict:
			return e, matches
		}
	}
	return nil, false
}

// plain is a rule as `iptables -i BRIDGE -j ACCEPT` writes it: anything else
// makes iptables call the chain incompatible.
func plain(key expr.MetaKey, bridge string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: append([]byte(bridge), 0)},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

var bothWays = [...]expr.MetaKey{expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME}

// admitInDocker lets the bridge through after what an administrator has put
// into the chain: a drop there is meant for our containers too. Before the
// RETURN that older Dockers end the chain with, else at its end.
func (t *Table) admitInDocker(s surroundings, docker *nftables.Chain, bridge string) error {
	rules := s.rules(docker)
	queued := false
	for _, key := range bothWays {
		if slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return accepts(r, key, bridge) }) {
			continue
		}
		queued = true
		ours := &nftables.Rule{Table: docker.Table, Chain: docker, Exprs: plain(key, bridge)}
		if end := slices.IndexFunc(rules, returnsAll); end >= 0 {
			ours.Position = rules[end].Handle
			t.conn.InsertRule(ours)
		} else {
			t.conn.AddRule(ours)
		}
	}
	if !queued {
		return nil
	}
	if err := t.flush(); err != nil {
		return fmt.Errorf("adding rules to %s: %w", dockerUser, err)
	}
	return nil
}

// returnsAll: the rule ends the chain for every packet.
func returnsAll(r *nftables.Rule) bool {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter:
		case *expr.Verdict:
			return e.Kind == expr.VerdictReturn
		default:
			return false
		}
	}
	return false
}

// Dismiss takes back what Admit added.
func (t *Table) Dismiss(bridge string) error {
	t.family.dismissInLegacy(bridge)
	zone, err := t.dismissByRules(bridge)
	if zone {
		dismissInFirewalld(bridge)
	}
	return err
}

func (t *Table) dismissByRules(bridge string) (zone bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.look()
	if err != nil {
		return false, err
	}
	zone = !t.family.is6() && s.hasFirewalld() && s.trusted(bridge)
	docker := s.chain(t.family.table, "filter", dockerUser)
	if docker == nil {
		return zone, nil
	}
	for _, r := range s.rules(docker) {
		if accepts(r, bothWays[0], bridge) || accepts(r, bothWays[1], bridge) {
			if err := t.conn.DelRule(&nftables.Rule{Table: docker.Table, Chain: docker, Handle: r.Handle}); err != nil {
				return zone, err
			}
		}
	}
	if err := t.flush(); err != nil && !isMissing(err) {
		return zone, fmt.Errorf("removing rules from %s: %w", dockerUser, err)
	}
	return zone, nil
}

// legacyFilter reports whether the old iptables has a filter table here.
func (f family) legacyFilter() bool {
	b, err := os.ReadFile("/proc/thread-self/net/" + f.word + "_tables_names")
	return err == nil && slices.Contains(strings.Fields(string(b)), "filter")
}

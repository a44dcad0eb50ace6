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

// dropsForwarded: a chain that drops what nobody accepted before.
func dropsForwarded(c *nftables.Chain) bool {
	family := c.Table.Family == nftables.TableFamilyIPv4 || c.Table.Family == nftables.TableFamilyINet
	return family && c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Type == nftables.ChainTypeFilter &&
		c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
}

// Admit adds what other firewalls need to let a bridge's traffic through:
// plain rules in Docker's DOCKER-USER chain, the trusted zone of firewalld.
// Where only a person should change things, the warning holds the command.
func (t *Table) Admit(bridge string) (warning string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.look()
	if err != nil {
		return "", err
	}
	var warnings []string
	docker := s.chain(nftables.TableFamilyIPv4, "filter", dockerUser)
	if docker != nil {
		if err := t.admitInDocker(s, docker, bridge); err != nil {
			return "", err
		}
	}
	for _, c := range s.chains {
		inDockers := docker != nil && c.Table.Family == docker.Table.Family && c.Table.Name == docker.Table.Name
		if dropsForwarded(c) && !inDockers && !s.admitted(c, bridge) {
			warnings = append(warnings, blocked(s, c, bridge))
		}
	}
	if s.chain(nftables.TableFamilyINet, "firewalld", "filter_FORWARD") != nil {
		if w := admitInFirewalld(bridge); w != "" {
			warnings = append(warnings, w)
		}
	}
	if w := admitInLegacy(bridge); w != "" {
		warnings = append(warnings, w)
	}
	return strings.Join(warnings, "; "), nil
}

// blocked words the warning for a chain that drops.
func blocked(s surroundings, c *nftables.Chain, bridge string) string {
	family := "ip"
	if c.Table.Family == nftables.TableFamilyINet {
		family = "inet"
	}
	what := fmt.Sprintf("the chain %s of the nftables table %s %s drops forwarded traffic", c.Name, family, c.Table.Name)
	command := fmt.Sprintf("nft insert rule %[1]s %[2]s %[3]s iifname %[4]s accept && nft insert rule %[1]s %[2]s %[3]s oifname %[4]s accept", family, c.Table.Name, c.Name, bridge)
	if s.chain(c.Table.Family, c.Table.Name, "ufw-user-forward") != nil {
		what = "ufw drops forwarded traffic"
		command = fmt.Sprintf("ufw route allow in on %[1]s && ufw route allow out on %[1]s", bridge)
	} else if family == "ip" && c.Table.Name == "filter" && c.Name == "FORWARD" {
		what = "the policy of iptables' FORWARD chain is DROP"
		command = fmt.Sprintf("iptables -I FORWARD -i %[1]s -j ACCEPT && iptables -I FORWARD -o %[1]s -j ACCEPT", bridge)
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
			return matches && e.Kind == expr.VerdictAccept
		}
	}
	return false
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

func (t *Table) admitInDocker(s surroundings, docker *nftables.Chain, bridge string) error {
	rules := s.rules(docker)
	queued := false
	for _, key := range bothWays {
		if !slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return accepts(r, key, bridge) }) {
			t.conn.InsertRule(&nftables.Rule{Table: docker.Table, Chain: docker, Exprs: plain(key, bridge)})
			queued = true
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

// Dismiss takes back what Admit added.
func (t *Table) Dismiss(bridge string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.look()
	if err != nil {
		return err
	}
	dismissInLegacy(bridge)
	if s.chain(nftables.TableFamilyINet, "firewalld", "filter_FORWARD") != nil {
		_, _ = run("firewall-cmd", "--zone=trusted", "--remove-interface="+bridge)
	}
	docker := s.chain(nftables.TableFamilyIPv4, "filter", dockerUser)
	if docker == nil {
		return nil
	}
	for _, r := range s.rules(docker) {
		if accepts(r, bothWays[0], bridge) || accepts(r, bothWays[1], bridge) {
			if err := t.conn.DelRule(&nftables.Rule{Table: docker.Table, Chain: docker, Handle: r.Handle}); err != nil {
				return err
			}
		}
	}
	if err := t.flush(); err != nil && !isMissing(err) {
		return fmt.Errorf("removing rules from %s: %w", dockerUser, err)
	}
	return nil
}

// legacyFilter reports whether the old iptables has a filter table here.
func legacyFilter() bool {
	b, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	return err == nil && slices.Contains(strings.Fields(string(b)), "filter")
}

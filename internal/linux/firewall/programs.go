package firewall

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Two firewalls can only be spoken to through their programs: the old
// iptables, whose rules nftables does not show, and firewalld.

// patience is how long such a program may take.
const patience = 30 * time.Second

func run(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// admitInFirewalld puts the bridge into the trusted zone, for as long as
// firewalld runs; the answer is a warning where that failed.
func admitInFirewalld(bridge string) string {
	if _, err := run("firewall-cmd", "--zone=trusted", "--change-interface="+bridge); err != nil {
		return fmt.Sprintf("firewalld stops the traffic of containers on %s; to allow it run: firewall-cmd --zone=trusted --change-interface=%s", bridge, bridge)
	}
	return ""
}

// dismissInFirewalld takes the bridge out of the zone. Nobody minds if it stays.
func dismissInFirewalld(bridge string) {
	_, _ = run("firewall-cmd", "--zone=trusted", "--remove-interface="+bridge)
}

// iptables is the old program for the family, and legacy the one for the kernel's
// old rules.
func (f family) iptables() string {
	return map[bool]string{false: "iptables", true: "ip6tables"}[f.is6()]
}
func (f family) legacy() string { return f.iptables() + "-legacy" }

// ufw is where ufw lets through what is forwarded.
func (f family) ufw() string {
	return map[bool]string{false: "ufw-user-forward", true: "ufw6-user-forward"}[f.is6()]
}

// legacyRules are the two plain rules of a bridge in a chain.
func legacyRules(chain, bridge string) [2][]string {
	return [2][]string{{chain, "-i", bridge, "-j", "ACCEPT"}, {chain, "-o", bridge, "-j", "ACCEPT"}}
}

func hasRule(listing string, rule []string) bool {
	return slices.Contains(strings.Split(listing, "\n"), "-A "+strings.Join(rule, " "))
}

// drops reports whether the chain FORWARD lets through only what it accepts.
func drops(listing string) bool {
	last := ""
	for line := range strings.Lines(listing) {
		if line = strings.TrimSpace(line); line == "-P FORWARD DROP" {
			return true
		} else if strings.HasPrefix(line, "-A FORWARD ") {
			last = line
		}
	}
	return last == "-A FORWARD -j DROP" || strings.HasPrefix(last, "-A FORWARD -j REJECT")
}

// admitInLegacy does for the old iptables what Admit does; the answer is a warning.
func (f family) admitInLegacy(bridge string) string {
	if !f.legacyFilter() {
		return ""
	}
	listing, err := run(f.legacy(), "-w", "5", "-S")
	if err != nil || !drops(listing) {
		return ""
	}
	chain := "FORWARD"
	if strings.Contains(listing, "-N "+dockerUser+"\n") {
		chain = dockerUser
	}
	var missing []string
	for _, rule := range legacyRules(chain, bridge) {
		if hasRule(listing, rule) {
			continue
		}
		if chain == dockerUser {
			if _, err := run(f.legacy(), append([]string{"-w", "5"}, beforeReturn(listing, rule)...)...); err == nil {
				continue
			}
		}
		missing = append(missing, f.legacy()+" -I "+strings.Join(rule, " "))
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("the old %s' FORWARD chain drops what it does not accept, so containers on %s cannot reach the outside; to allow it run: %s", f.iptables(), bridge, strings.Join(missing, " && "))
}

// beforeReturn words the command that puts a rule where admitInDocker does.
func beforeReturn(listing string, rule []string) []string {
	chain, at := rule[0], 0
	for line := range strings.Lines(listing) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "-A "+chain+" ") {
			continue
		}
		if at++; line == "-A "+chain+" -j RETURN" {
			return append([]string{"-I", chain, strconv.Itoa(at)}, rule[1:]...)
		}
	}
	return append([]string{"-A"}, rule...)
}

func (f family) dismissInLegacy(bridge string) {
	if !f.legacyFilter() {
		return
	}
	listing, err := run(f.legacy(), "-w", "5", "-S")
	if err != nil {
		return
	}
	for _, rule := range legacyRules(dockerUser, bridge) {
		if hasRule(listing, rule) {
			_, _ = run(f.legacy(), append([]string{"-w", "5", "-D"}, rule...)...)
		}
	}
}

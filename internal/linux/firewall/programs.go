package firewall

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Two firewalls can only be spoken to through their programs: the old
// iptables, whose rules nftables does not show, and firewalld.

// patience is how long such a program may take.
const patience = 10 * time.Second

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
	if zone, err := run("firewall-cmd", "--get-zone-of-interface="+bridge); err == nil && strings.TrimSpace(zone) == "trusted" {
		return ""
	}
	if _, err := run("firewall-cmd", "--zone=trusted", "--change-interface="+bridge); err != nil {
		return fmt.Sprintf("firewalld stops the traffic of containers on %s; to allow it run: firewall-cmd --zone=trusted --change-interface=%s", bridge, bridge)
	}
	return ""
}

const legacy = "iptables-legacy"

// legacyRules are the two plain rules of a bridge in a chain.
func legacyRules(chain, bridge string) [2][]string {
	return [2][]string{{chain, "-i", bridge, "-j", "ACCEPT"}, {chain, "-o", bridge, "-j", "ACCEPT"}}
}

func hasRule(listing string, rule []string) bool {
	return slices.Contains(strings.Split(listing, "\n"), "-A "+strings.Join(rule, " "))
}

// admitInLegacy does for the old iptables what Admit does; the answer is a warning.
func admitInLegacy(bridge string) string {
	if !legacyFilter() {
		return ""
	}
	listing, err := run(legacy, "-w", "5", "-S")
	if err != nil || !slices.Contains(strings.Split(listing, "\n"), "-P FORWARD DROP") {
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
			if _, err := run(legacy, append([]string{"-w", "5", "-I"}, rule...)...); err == nil {
				continue
			}
		}
		missing = append(missing, legacy+" -I "+strings.Join(rule, " "))
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("the policy of the old iptables' FORWARD chain is DROP, so containers on %s cannot reach the outside; to allow it run: %s", bridge, strings.Join(missing, " && "))
}

func dismissInLegacy(bridge string) {
	if !legacyFilter() {
		return
	}
	listing, err := run(legacy, "-w", "5", "-S")
	if err != nil {
		return
	}
	for _, rule := range legacyRules(dockerUser, bridge) {
		if hasRule(listing, rule) {
			_, _ = run(legacy, append([]string{"-w", "5", "-D"}, rule...)...)
		}
	}
}

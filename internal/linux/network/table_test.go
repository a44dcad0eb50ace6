package network_test

import (
	"net/netip"
	"strings"
	"testing"

	"lus/internal/linux/firewall"
)

// A table that somebody flushed is made again. One that was deleted because the
// daemon stops is not, although its deletion wakes who watches the rules.
func TestADeletedTableStaysAway(t *testing.T) {
	needRoot(t)
	leavesNothing(t)
	const name = "lus_deleted"
	there := func() bool { return strings.Contains(run(t, "nft", "list", "tables"), name) }
	table, err := firewall.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	if err := table.SetNetwork(firewall.Network{Bridge: "lusbr0", Subnet: netip.MustParsePrefix("172.30.0.0/24")}); err != nil {
		t.Fatal(err)
	}
	run(t, "nft", "delete", "table", "ip", name)
	if vanished, err := table.Check(); err != nil || !vanished || !there() {
		t.Errorf("after a flush: vanished %v, %v, there %v", vanished, err, there())
	}
	if err := table.Delete(); err != nil {
		t.Fatal(err)
	}
	if vanished, err := table.Check(); err != nil || vanished || there() {
		t.Errorf("after the deletion: vanished %v, %v, there %v", vanished, err, there())
	}
}

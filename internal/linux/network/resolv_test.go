package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lus/internal/linux/dns/resolv"
)

func TestContainersGetServersTheyCanReach(t *testing.T) {
	write := func(text string) Resolv {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return resolv.Read(path)
	}
	none := resolv.Read(filepath.Join(t.TempDir(), "missing"))
	stub := write("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n")
	behind := write("nameserver 192.0.2.53\nnameserver fe80::1\n")
	for name, c := range map[string]struct {
		host, behind Resolv
		want         []string
	}{
		"plain":                  {write("# x\nnameserver 192.0.2.1\nnameserver 127.0.0.1\nnameserver nonsense\n"), none, []string{"192.0.2.1"}},
		"behind a stub":          {stub, behind, []string{"192.0.2.53"}},
		"a stub without servers": {stub, none, []string{"8.8.8.8", "1.1.1.1"}},
		"no file":                {none, none, []string{"8.8.8.8", "1.1.1.1"}},
	} {
		got, search, options := containerResolv(c.host, c.behind)
		var want []netip.Addr
		for _, s := range c.want {
			want = append(want, netip.MustParseAddr(s))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if name == "behind a stub" && (!slices.Equal(search, []string{"example.org"}) || len(options) != 2) {
			t.Errorf("search %v, options %v", search, options)
		}
	}
}

package server

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// Whatever a container sends, parsing and answering end, and an answer that
// is given can be read.
func FuzzQuestion(f *testing.F) {
	for _, kind := range []uint16{dns.TypeA, dns.TypePTR, dns.TypeANY} {
		b, _ := new(dns.Msg).SetQuestion("db.", kind).Pack()
		f.Add(b)
	}
	s := New(slog.New(slog.DiscardHandler))
	s.tables["n"] = newTable(map[string][]netip.Addr{"db": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}})
	c := &container{s: s, networks: []string{"n"}}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, ok := parse(b)
		if !ok {
			return
		}
		if a := s.local(c, q); a != nil {
			if err := new(dns.Msg).Unpack(pack(a, q, true)); err != nil {
				t.Errorf("the answer to %x cannot be read: %v", b, err)
			}
		}
		answers(b, b)
	})
}

package server

import (
	"net/netip"
	"strings"
)

// table is the names of one network. It is replaced, never changed.
type table struct {
	forward map[string][]netip.Addr
	reverse map[netip.Addr]string
}

func newTable(names map[string][]netip.Addr) *table {
	t := &table{forward: make(map[string][]netip.Addr, len(names)), reverse: map[netip.Addr]string{}}
	for name, addrs := range names {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		t.forward[name] = append(t.forward[name], addrs...)
		for _, a := range addrs {
			if old, ok := t.reverse[a]; !ok || better(name, old) {
				t.reverse[a] = name
			}
		}
	}
	return t
}

// better says which of two names to tell for an address: one that is no
// container's id, then the one that sorts first, so that the answer is stable.
func better(a, b string) bool {
	if isID(a) != isID(b) {
		return isID(b)
	}
	return a < b
}

func isID(s string) bool {
	return (len(s) == 12 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// lookup finds a name on the container's networks.
func (s *Server) lookup(c *container, name string) []netip.Addr {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []netip.Addr
	for _, n := range c.networks {
		if t := s.tables[n]; t != nil {
			out = append(out, t.forward[name]...)
		}
	}
	return out
}

// nameOf finds an address on the container's networks.
func (s *Server) nameOf(c *container, ip netip.Addr) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, n := range c.networks {
		if t := s.tables[n]; t != nil && t.reverse[ip] != "" {
			return t.reverse[ip]
		}
	}
	return ""
}

// upstreamOf is where the container's other questions go.
func (s *Server) upstreamOf(c *container) []netip.AddrPort {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(c.upstream) > 0 {
		return c.upstream
	}
	return s.host.get()
}

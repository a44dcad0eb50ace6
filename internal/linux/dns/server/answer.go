package server

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

const (
	maxQuery = 4096 // bytes; real questions have some forty
	ttl      = 5    // seconds: a container that is replaced is found again soon
)

// parse reads a question. Whatever is not exactly one ordinary question is
// malformed and gets no answer.
func parse(b []byte) (*dns.Msg, bool) {
	const headerSize = 12
	if len(b) < headerSize || len(b) > maxQuery || b[2]&0x80 != 0 {
		return nil, false
	}
	var q dns.Msg
	if err := q.Unpack(b); err != nil || q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 || len(q.Answer) != 0 {
		return nil, false
	}
	return &q, true
}

// local answers from the tables; nil: the question is for upstream.
func (s *Server) local(c *container, q *dns.Msg) *dns.Msg {
	question := q.Question[0]
	if question.Qclass != dns.ClassINET {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(question.Name, "."))
	if question.Qtype == dns.TypePTR {
		return s.pointer(c, q, name)
	}
	addrs := s.lookup(c, name)
	if len(addrs) == 0 {
		return nil
	}
	a := reply(q)
	if question.Qtype != dns.TypeA && question.Qtype != dns.TypeAAAA && question.Qtype != dns.TypeANY {
		return a // the name exists, and has none of these
	}
	first := int(c.turn.Add(1))
	for i := range addrs {
		ip := addrs[(first+i)%len(addrs)]
		head := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: ttl}
		switch {
		case ip.Is4() && question.Qtype != dns.TypeAAAA:
			head.Rrtype = dns.TypeA
			a.Answer = append(a.Answer, &dns.A{Hdr: head, A: ip.AsSlice()})
		case ip.Is6() && question.Qtype != dns.TypeA:
			head.Rrtype = dns.TypeAAAA
			a.Answer = append(a.Answer, &dns.AAAA{Hdr: head, AAAA: ip.AsSlice()})
		}
	}
	return a
}

func (s *Server) pointer(c *container, q *dns.Msg, name string) *dns.Msg {
	ip, ok := reversed(name)
	if !ok {
		return nil
	}
	host := s.nameOf(c, ip)
	if host == "" {
		return nil
	}
	a := reply(q)
	a.Answer = []dns.RR{&dns.PTR{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: ttl}, Ptr: dns.Fqdn(host)}}
	return a
}

// reversed reads 2.0.18.172.in-addr.arpa, and the same of IPv6, where each label
// is a digit of the address.
func reversed(name string) (netip.Addr, bool) {
	if labels, ok := strings.CutSuffix(name, ".ip6.arpa"); ok {
		return reversed6(strings.Split(labels, "."))
	}
	labels, ok := strings.CutSuffix(name, ".in-addr.arpa")
	parts := strings.Split(labels, ".")
	if !ok || len(parts) != 4 {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
	return ip, err == nil
}

func reversed6(digits []string) (netip.Addr, bool) {
	var b [16]byte
	if len(digits) != 2*len(b) {
		return netip.Addr{}, false
	}
	for i, d := range digits {
		v, err := strconv.ParseUint(d, 16, 4)
		if err != nil || len(d) != 1 {
			return netip.Addr{}, false
		}
		at := len(b) - 1 - i/2
		b[at] |= byte(v) << (4 * (i % 2))
	}
	return netip.AddrFrom16(b), true
}

func reply(q *dns.Msg) *dns.Msg {
	a := new(dns.Msg)
	a.SetReply(q)
	a.RecursionAvailable = true
	a.Compress = true
	return a
}

// failure is the answer when no upstream server gave one.
func failure(q *dns.Msg) *dns.Msg {
	a := reply(q)
	a.Rcode = dns.RcodeServerFailure
	return a
}

// pack writes an answer, cut to what the asker takes by UDP.
func pack(a, q *dns.Msg, udp bool) []byte {
	if udp {
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		a.Truncate(min(size, maxQuery))
	}
	b, err := a.Pack()
	if err != nil {
		return nil
	}
	return b
}

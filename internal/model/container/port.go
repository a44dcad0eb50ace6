package container

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// PortBinding is one place on the host where a container's port is published.
type PortBinding struct {
	HostIP   string `json:"HostIp"`   // empty: every address
	HostPort string `json:"HostPort"` // empty: any free port; "8000-8010": one of these
}

// PortMap maps a container's port ("80/tcp") to where it is published.
type PortMap map[string][]PortBinding

// Port is a container's port and its protocol.
type Port struct {
	Number uint16
	Proto  string // tcp, udp or sctp
}

// String writes the port as "80/tcp".
func (p Port) String() string { return strconv.Itoa(int(p.Number)) + "/" + p.Proto }

// ParsePort reads "80", "80/tcp" or "53/udp".
func ParsePort(s string) (Port, error) {
	number, proto, ok := strings.Cut(s, "/")
	if !ok {
		proto = "tcp"
	}
	proto = strings.ToLower(proto)
	if proto != "tcp" && proto != "udp" && proto != "sctp" {
		return Port{}, fmt.Errorf("invalid proto: %s", proto)
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return Port{}, fmt.Errorf("invalid containerPort: %s", number)
	}
	return Port{Number: uint16(n), Proto: proto}, nil
}

// PublishedPort is one publication read from -p: a container's port and the
// host's range to take one from.
type PublishedPort struct {
	Port
	HostIP         netip.Addr // the zero Addr: every address
	HostLo, HostHi uint16     // 0, 0: any free port
	// Group names who may share the port: containers of one service. Empty:
	// nobody.
	Group string
	// Waiting: others of the group are preferred until it is ready.
	Waiting bool
}

// Sharable reports whether others of its group may have the same port.
func (p PublishedPort) Sharable() bool { return p.Group != "" && p.HostLo != 0 && p.HostLo == p.HostHi }

// ParsePublish reads what people write after -p: [[ip:][host[-host]]:]ctr[-ctr][/proto].
// A range on both sides must be of one length and gives one publication a port.
func ParsePublish(s string) ([]PublishedPort, error) {
	fail := func(why string) ([]PublishedPort, error) {
		return nil, fmt.Errorf("invalid port specification %q: %s; write [[ip:]hostPort:]containerPort[/tcp|udp], for example 8080:80", s, why)
	}
	spec, proto, hasProto := strings.Cut(s, "/")
	if !hasProto {
		proto = "tcp"
	}
	proto = strings.ToLower(proto)
	if proto != "tcp" && proto != "udp" && proto != "sctp" {
		return fail("the protocol must be tcp, udp or sctp")
	}
	host, ctr := "", spec
	if i := strings.LastIndexByte(spec, ':'); i >= 0 {
		host, ctr = spec[:i], spec[i+1:]
	}
	var ip netip.Addr
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		text := strings.TrimSuffix(strings.TrimPrefix(host[:i], "["), "]")
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return fail("invalid IP address " + strconv.Quote(text))
		}
		ip, host = addr, host[i+1:]
	}
	cLo, cHi, err := portRange(ctr)
	if err != nil || cLo == 0 {
		return fail("invalid containerPort " + strconv.Quote(ctr))
	}
	if host == "" {
		return expand(proto, ip, cLo, cHi, func(uint16) (uint16, uint16) { return 0, 0 }), nil
	}
	hLo, hHi, err := portRange(host)
	if err != nil {
		return fail("invalid hostPort " + strconv.Quote(host))
	}
	switch {
	case hHi-hLo == cHi-cLo:
		return expand(proto, ip, cLo, cHi, func(i uint16) (uint16, uint16) { return hLo + i, hLo + i }), nil
	case cLo == cHi:
		return expand(proto, ip, cLo, cHi, func(uint16) (uint16, uint16) { return hLo, hHi }), nil
	}
	return fail("the ranges differ in length")
}

func expand(proto string, ip netip.Addr, lo, hi uint16, host func(i uint16) (uint16, uint16)) []PublishedPort {
	var out []PublishedPort
	for i := range hi - lo + 1 {
		p := PublishedPort{Port: Port{Number: lo + i, Proto: proto}, HostIP: ip}
		p.HostLo, p.HostHi = host(i)
		out = append(out, p)
	}
	return out
}

func portRange(s string) (lo, hi uint16, err error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		to = from
	}
	a, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	b, err := strconv.ParseUint(to, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	if b < a {
		return 0, 0, fmt.Errorf("%d is below %d", b, a)
	}
	if b == 65535 && a == 0 {
		return 0, 0, fmt.Errorf("port 0 cannot start a range")
	}
	return uint16(a), uint16(b), nil
}

// Published flattens a PortMap into publications, in a stable order.
func (m PortMap) Published() ([]PublishedPort, error) {
	var out []PublishedPort
	for key, bindings := range m {
		port, err := ParsePort(key)
		if err != nil {
			return nil, err
		}
		for _, b := range bindings {
			p := PublishedPort{Port: port}
			if b.HostIP != "" {
				if p.HostIP, err = netip.ParseAddr(b.HostIP); err != nil {
					return nil, fmt.Errorf("invalid host IP %q", b.HostIP)
				}
			}
			if b.HostPort != "" {
				if p.HostLo, p.HostHi, err = portRange(b.HostPort); err != nil {
					return nil, fmt.Errorf("invalid hostPort %q", b.HostPort)
				}
			}
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b PublishedPort) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.HostLo, b.HostLo), a.HostIP.Compare(b.HostIP))
	})
	return out, nil
}

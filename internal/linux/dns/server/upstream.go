package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"lus/internal/linux/dns/resolv"
)

// perServer is how long one upstream server may take. Three of them fit into
// the fifteen seconds after which most askers give up.
const perServer = 3 * time.Second

// servers reads a list of addresses, with port or without.
func servers(list []string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range list {
		if at, err := netip.ParseAddrPort(s); err == nil {
			out = append(out, at)
		} else if ip, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.AddrPortFrom(ip, 53))
		}
	}
	return out
}

// hostServers are those of the host's resolv.conf, read again when it changes.
type hostServers struct {
	mu   sync.Mutex
	read time.Time // modification time of what was read
	list []netip.AddrPort
}

func (h *hostServers) get() []netip.AddrPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	st, err := os.Stat(resolv.Host)
	if err != nil || st.ModTime().Equal(h.read) {
		return h.list
	}
	h.read, h.list = st.ModTime(), nil
	for _, ip := range resolv.Read(resolv.Host).Nameservers {
		h.list = append(h.list, netip.AddrPortFrom(ip, 53))
	}
	return h.list
}

// ask sends the question to one upstream server after the other until one
// answers, from this process's own network namespace; nil where none does.
// The answer carries the asker's id.
func (s *Server) ask(ctx context.Context, network string, upstream []netip.AddrPort, query []byte) []byte {
	for _, at := range upstream[:min(len(upstream), 3)] {
		a, err := askOne(ctx, network, at, query)
		if err == nil && !useless(a) {
			return a
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// useless: the server could not help; another one may.
func useless(answer []byte) bool {
	rcode := int(answer[3] & 0xf)
	return rcode == dns.RcodeServerFailure || rcode == dns.RcodeRefused || rcode == dns.RcodeNotImplemented
}

func askOne(ctx context.Context, network string, at netip.AddrPort, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, perServer)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, at.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	// An id and a port of our own choice: the asker's may be guessed.
	var id [2]byte
	_, _ = rand.Read(id[:])
	ours := append(id[:], query[2:]...)
	answer, err := exchangeWith(conn, ours)
	if err != nil {
		return nil, err
	}
	copy(answer, query[:2])
	return answer, nil
}

func exchangeWith(conn net.Conn, query []byte) ([]byte, error) {
	if udp, ok := conn.(*net.UDPConn); ok {
		return exchangeUDP(udp, query)
	}
	if err := writeTCP(conn, query); err != nil {
		return nil, err
	}
	a, err := readTCP(conn, dns.MaxMsgSize)
	if err == nil && !answers(a, query) {
		err = errors.New("not the answer")
	}
	return a, err
}

func exchangeUDP(conn *net.UDPConn, query []byte) ([]byte, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	for {
		page, _, err := receive(raw, &answerPages)
		if err != nil {
			return nil, err
		}
		var answer []byte
		if answers(*page, query) {
			answer = slices.Clone(*page)
		}
		answerPages.Put(page)
		if answer != nil {
			return answer, nil
		}
		// A forgery or a late one: the true answer may still come.
	}
}

// answers reports whether a is an answer to the question of query.
func answers(a, query []byte) bool {
	const headerSize = 12
	if len(a) < headerSize || a[2]&0x80 == 0 || !bytes.Equal(a[:2], query[:2]) {
		return false
	}
	if binary.BigEndian.Uint16(a[4:]) == 0 {
		return true // some servers leave the question out of a refusal
	}
	end := questionEnd(query)
	return end > 0 && len(a) >= end && bytes.EqualFold(a[headerSize:end], query[headerSize:end])
}

// questionEnd finds the end of the one question, whose name has no pointers.
func questionEnd(b []byte) int {
	at := 12
	for at < len(b) && b[at] != 0 {
		if b[at] >= 0xc0 {
			return 0
		}
		at += int(b[at]) + 1
	}
	if at+5 > len(b) {
		return 0
	}
	return at + 5
}

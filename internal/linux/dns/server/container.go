package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"lus/internal/linux/dns/wire"
)

// Bounds for one container, so that it cannot use up what is for all.
const (
	maxFirst    = 4  // questions upstream at once that take nobody's place
	maxOwn      = 60 // those beyond, of which all containers together have maxAsking
	maxConns    = 16 // TCP connections
	maxPerConn  = 128
	idleTimeout = 10 * time.Second
)

// container is one asker: its sockets, its networks.
type container struct {
	s   *Server
	udp *net.UDPConn
	tcp *net.TCPListener

	// Guarded by the server's lock.
	networks []string
	upstream []netip.AddrPort

	turn   atomic.Uint32 // rotates answers
	first  chan struct{}
	own    chan struct{}
	conns  chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newContainer(s *Server, q wire.Request, udp, tcp *os.File) (*container, error) {
	p, err := net.FilePacketConn(udp)
	if err != nil {
		return nil, fmt.Errorf("the first descriptor is no UDP socket: %w", err)
	}
	l, err := net.FileListener(tcp)
	if err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("the second descriptor is no TCP socket: %w", err)
	}
	uc, ok1 := p.(*net.UDPConn)
	tl, ok2 := l.(*net.TCPListener)
	if !ok1 || !ok2 {
		_, _ = p.Close(), l.Close()
		return nil, fmt.Errorf("the descriptors are a %T and a %T", p, l)
	}
	c := &container{s: s, udp: uc, tcp: tl, networks: q.Networks, upstream: servers(q.Upstream),
		first: make(chan struct{}, maxFirst), own: make(chan struct{}, maxOwn), conns: make(chan struct{}, maxConns)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

func (c *container) start() {
	c.wg.Go(c.serveUDP)
	c.wg.Go(c.serveTCP)
}

// close stops answering and waits for the container's goroutines.
func (c *container) close() {
	c.cancel()
	_, _ = c.udp.Close(), c.tcp.Close()
	c.wg.Wait()
}

// serveUDP takes a buffer only when a question is there, so that a thousand
// silent containers cost none.
func (c *container) serveUDP() {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return
	}
	for c.ctx.Err() == nil {
		page, from, err := question(raw)
		if err != nil {
			if c.ctx.Err() == nil {
				// An ICMP error of an earlier answer, or no memory: go on, slowly.
				c.pause()
			}
			continue
		}
		c.handle(*page, func(answer []byte) {
			_, _ = c.udp.WriteToUDPAddrPort(answer, from)
		})
		pages.Put(page)
	}
}

func (c *container) pause() {
	select {
	case <-c.ctx.Done():
	case <-time.After(10 * time.Millisecond):
	}
}

// handle answers from the tables at once, and asks upstream in a goroutine
// of its own while there is room; beyond that questions are dropped, and
// askers ask again.
func (c *container) handle(b []byte, answer func([]byte)) {
	q, ok := parse(b)
	if !ok {
		return
	}
	if a := c.s.local(c, q); a != nil {
		answer(pack(a, q, true))
		return
	}
	leave, ok := c.enter()
	if !ok {
		return
	}
	query := append([]byte(nil), b...)
	c.wg.Go(func() {
		defer leave()
		a := c.s.ask(c.ctx, "udp", c.s.upstreamOf(c), query)
		if a == nil {
			a = pack(failure(q), q, true)
		}
		answer(a)
	})
}

// enter takes a place among those who wait for upstream, if there is one: a few
// are the container's whatever others ask.
func (c *container) enter() (leave func(), ok bool) {
	select {
	case c.first <- struct{}{}:
		return func() { <-c.first }, true
	default:
	}
	select {
	case c.own <- struct{}{}:
	default:
		return nil, false
	}
	select {
	case c.s.asking <- struct{}{}:
		return func() { <-c.s.asking; <-c.own }, true
	default:
		<-c.own
		return nil, false
	}
}

func (c *container) serveTCP() {
	for {
		conn, err := c.tcp.Accept()
		if err != nil {
			if c.ctx.Err() != nil {
				return
			}
			c.pause()
			continue
		}
		select {
		case c.conns <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		c.wg.Go(func() {
			defer func() { <-c.conns }()
			stop := context.AfterFunc(c.ctx, func() { _ = conn.Close() })
			defer stop()
			defer conn.Close()
			for range maxPerConn {
				if !c.exchange(conn) {
					return
				}
			}
		})
	}
}

// exchange answers one question of a TCP connection; false ends it.
func (c *container) exchange(conn net.Conn) bool {
	_ = conn.SetDeadline(time.Now().Add(idleTimeout))
	b, err := readTCP(conn, maxQuery)
	if err != nil {
		return false
	}
	q, ok := parse(b)
	if !ok {
		return false
	}
	var out []byte
	if a := c.s.local(c, q); a != nil {
		out = pack(a, q, false)
	} else if leave, ok := c.enter(); ok {
		out = c.s.ask(c.ctx, "tcp", c.s.upstreamOf(c), b)
		leave()
	}
	if out == nil {
		out = pack(failure(q), q, false)
	}
	_ = conn.SetDeadline(time.Now().Add(idleTimeout))
	return writeTCP(conn, out) == nil
}

func readTCP(r io.Reader, limit int) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n > limit {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func writeTCP(w io.Writer, b []byte) error {
	if len(b) > dns.MaxMsgSize {
		return fmt.Errorf("a message of %d bytes", len(b))
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

// Package certificate has the TLS certificates of what Lus listens with: the
// administrator's, read again when the files change, or ones that an authority
// of our own vouches for, made on first use.
package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"lus/internal/base/errs"
)

// Deps is what the service needs.
type Deps struct {
	// Dir is the folder of the authority, made where it is needed.
	Dir string
	// Hosts are the names and addresses of this host, besides the usual ones.
	Hosts []string
	Log   *slog.Logger
	Now   func() time.Time // nil: the clock
}

// Service gives out certificates. Its methods are safe for concurrent use.
type Service struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	ca    *authority // nil until it is needed
	leaf  *tls.Certificate
	until time.Time // when the leaf is made anew
	hosts []string
}

// New returns the service. Nothing is made before it is needed.
func New(d Deps) *Service {
	s := &Service{dir: d.Dir, log: d.Log, now: d.Now, hosts: d.Hosts}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Name adds names and addresses by which this host is reached.
func (s *Service) Name(hosts ...string) error {
	for _, h := range hosts {
		ip := net.ParseIP(h) != nil
		if !ip && (h == "" || len(h) > 253 || strings.Trim(h, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "") {
			return errs.New(errs.Invalid, "%.80q is no name or address of a host", h)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range hosts {
		if !slices.Contains(s.hosts, h) && len(s.hosts) < most {
			s.hosts, s.leaf = append(s.hosts, h), nil
		}
	}
	return nil
}

// Own is the TLS configuration of a listener whose certificate our authority
// vouches for.
func (s *Service) Own() (*tls.Config, error) {
	if _, err := s.own(netip.Addr{}); err != nil { // told now, and not to the first client
		return nil, err
	}
	return configuration(func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return s.own(landed(hello.Conn))
	}), nil
}

// Files is the TLS configuration of a listener with the administrator's own
// certificate, with what vouches for it, and its key. Both are read again when
// they change; what cannot be used then leaves the former in place.
func (s *Service) Files(cert, key string) (*tls.Config, error) {
	f := &files{cert: cert, key: key, log: s.log, now: s.now}
	if err := f.load(); err != nil {
		return nil, err
	}
	return configuration(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current(), nil }), nil
}

func configuration(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: get, NextProtos: []string{"h2", "http/1.1"}}
}

// Authority returns the certificate of our authority as PEM, and makes it where
// there is none yet.
func (s *Service) Authority() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.need(); err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ca.cert.Raw}), nil
}

// Trusted adds our authority to roots, and tells whether there is one already.
func (s *Service) Trusted(roots *x509.CertPool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ca == nil {
		if _, err := os.Stat(s.certPath()); err != nil {
			return false, nil //nolint:nilerr // there is none yet
		}
	}
	if err := s.need(); err != nil {
		return false, err
	}
	roots.AddCert(s.ca.cert)
	return true, nil
}

// most bounds the addresses that one certificate is for.
const most = 200

// own returns the certificate of this host, made anew where it is old or where a
// client came by an address of this host that it is not for.
func (s *Service) own(at netip.Addr) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fits := s.leaf != nil && s.now().Before(s.until)
	if fits && at.IsValid() && s.leaf.Leaf.VerifyHostname(at.String()) != nil && len(s.hosts) < most {
		s.hosts = append(s.hosts, at.String())
		fits = false
	}
	if fits {
		return s.leaf, nil
	}
	if err := s.need(); err != nil {
		return nil, err
	}
	leaf, err := s.ca.issue(hostnames(s.hosts), s.now())
	if err != nil {
		return nil, errs.New(errs.Internal, "making a certificate for this host: %w", err)
	}
	s.leaf = leaf
	s.until = s.now().Add(leaf.Leaf.NotAfter.Sub(s.now()) * 2 / 3)
	return leaf, nil
}

// landed is the address of this host that a client came by.
func landed(c net.Conn) netip.Addr {
	if c == nil {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// hostnames are the names and addresses by which this host is reached.
func hostnames(more []string) []string {
	out := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && name != "" {
		out = append(out, name)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		addrs = nil // those that clients come by are added then
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() && len(out) < most {
			out = append(out, p.Addr().String())
		}
	}
	return append(out, more...)
}

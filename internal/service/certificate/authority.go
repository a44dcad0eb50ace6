package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"lus/internal/base/atomicfile"
	"lus/internal/base/errs"
)

// How long certificates are good. Some clients refuse those of hosts that last
// for more than about two years.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	hostLife      = 397 * 24 * time.Hour
	skew          = time.Hour // clocks differ
)

// authority vouches for the certificates of this host. The keys of those are
// never written down: they are made anew with every start.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (s *Service) certPath() string { return filepath.Join(s.dir, "ca.crt") }
func (s *Service) keyPath() string  { return filepath.Join(s.dir, "ca.key") }

// need reads the authority, or makes it.
func (s *Service) need() error {
	if s.ca != nil {
		return nil
	}
	ca, err := readAuthority(s.certPath(), s.keyPath())
	if errors.Is(err, os.ErrNotExist) {
		ca, err = s.makeAuthority()
	}
	if err != nil {
		return errs.New(errs.Internal, "Lus's own certificate authority: %w: repair the files, or remove them and another is made, which every client has to be given anew", err)
	}
	if s.now().After(ca.cert.NotAfter) {
		return errs.New(errs.Unavailable, "Lus's own certificate authority is over since %s: remove %s and %s, and give clients the new one", ca.cert.NotAfter.Format("2006-01-02"), s.certPath(), s.keyPath())
	}
	s.ca = ca
	return nil
}

// makeAuthority keeps the key before the certificate: where there is a
// certificate, there is its key.
func (s *Service) makeAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		name = "this host"
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Lus on " + name, Organization: []string{"Lus"}},
		NotBefore: s.now().Add(-skew), NotAfter: s.now().Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if err := atomicfile.Write(s.keyPath(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600, atomicfile.Power); err != nil {
		return nil, err
	}
	if err := atomicfile.Write(s.certPath(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o644, atomicfile.Power); err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(raw)
	s.log.Info("a certificate authority was made", "certificate", s.certPath())
	return &authority{cert, key}, err
}

func readAuthority(certPath, keyPath string) (*authority, error) {
	certText, err := os.ReadFile(certPath)
	if err != nil {
		return nil, err
	}
	keyText, err := os.ReadFile(keyPath)
	if err != nil {
		// Not ErrNotExist: a new key would not fit the certificate that is there.
		return nil, fmt.Errorf("%s is there and its key is not: %v", certPath, err) //nolint:errorlint // it must not be ErrNotExist
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certPath, keyPath, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is no certificate authority of ours", certPath)
	}
	return &authority{pair.Leaf, key}, os.Chmod(keyPath, 0o600)
}

// issue makes a certificate for this host.
func (a *authority) issue(hosts []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: hosts[0], Organization: []string{"Lus"}},
		NotBefore: now.Add(-skew), NotAfter: now.Add(hostLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if t.NotAfter.After(a.cert.NotAfter) {
		t.NotAfter = a.cert.NotAfter
	}
	slices.Sort(hosts)
	for _, h := range slices.Compact(hosts) {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	raw, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(raw)
	return &tls.Certificate{Certificate: [][]byte{raw, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, err
}

// serial is 127 random bits.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

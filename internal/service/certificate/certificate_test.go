package certificate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/internal/service/certificate"
)

// world is certificates with a clock that only moves when told to.
type world struct {
	t   *testing.T
	dir string
	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Parallel()
	return &world{t: t, dir: filepath.Join(t.TempDir(), "certificates"), now: time.Now()}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) open(hosts ...string) *certificate.Service {
	return certificate.New(certificate.Deps{Dir: w.dir, Hosts: hosts, Now: w.clock})
}

// serve answers "hello" with the configuration, and returns the port.
func (w *world) serve(c *tls.Config, address string) string {
	w.t.Helper()
	ln, err := net.Listen("tcp", address+":0")
	if err != nil {
		w.t.Fatal(err)
	}
	srv := &http.Server{TLSConfig: c, Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "hello") })}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.ServeTLS(ln, "", "") }()
	w.t.Cleanup(func() { _ = srv.Close(); <-done })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// shown is the certificate that a client sees who trusts roots.
func (w *world) shown(url string, roots *x509.CertPool, versions ...uint16) (*x509.Certificate, error) {
	w.t.Helper()
	c := &tls.Config{RootCAs: roots, Time: w.clock}
	if len(versions) > 0 {
		c.MaxVersion = versions[0]
	}
	tr := &http.Transport{TLSClientConfig: c}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return resp.TLS.PeerCertificates[0], nil
}

func roots(t *testing.T, s *certificate.Service) *x509.CertPool {
	t.Helper()
	text, err := s.Authority()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate: %s", text)
	}
	return pool
}

func TestOurOwnAuthority(t *testing.T) {
	w := newWorld(t)
	s := w.open("registry.example")
	none := x509.NewCertPool()
	if there, err := s.Trusted(none); there || err != nil || !none.Equal(x509.NewCertPool()) {
		t.Errorf("before there is an authority: %v", err)
	}
	if _, err := os.Stat(w.dir); err == nil {
		t.Error("something was made before it was needed")
	}
	c, err := s.Own()
	if err != nil {
		t.Fatal(err)
	}
	port := w.serve(c, "127.0.0.1")
	pool := roots(t, s)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		if _, err := w.shown("https://"+host+":"+port, pool); err != nil {
			t.Error(err)
		}
	}
	leaf, err := w.shown("https://127.0.0.1:"+port, pool)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.IsCA || leaf.PublicKeyAlgorithm != x509.ECDSA || leaf.VerifyHostname("registry.example") != nil || leaf.VerifyHostname("other.example") == nil {
		t.Errorf("%+v", leaf.Subject)
	}
	if _, err := w.shown("https://127.0.0.1:"+port, x509.NewCertPool()); err == nil {
		t.Error("everybody trusts it")
	}
	if _, err := w.shown("https://127.0.0.1:"+port, pool, tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	for name, mode := range map[string]os.FileMode{"ca.key": 0o600, "ca.crt": 0o644} {
		if st, err := os.Stat(filepath.Join(w.dir, name)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if st, err := os.Stat(w.dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}

	// The next start has the same authority, and other certificates.
	again := w.open()
	trusted := x509.NewCertPool()
	if there, err := again.Trusted(trusted); !there || err != nil || !trusted.Equal(pool) {
		t.Errorf("another authority: %v", err)
	}
	// A certificate does not end while the daemon runs.
	first := leaf.SerialNumber
	w.later(300 * 24 * time.Hour)
	if leaf, err = w.shown("https://127.0.0.1:"+port, pool); err != nil || leaf.SerialNumber.Cmp(first) == 0 {
		t.Errorf("after ten months: %v", err)
	}
}

// Containers and other hosts come by addresses that may not have been there when
// the daemon started.
func TestAnAddressThatComesLater(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	c, err := s.Own()
	if err != nil {
		t.Fatal(err)
	}
	port := w.serve(c, "127.9.8.7") // of this host, and of no interface's list
	pool := roots(t, s)
	leaf, err := w.shown("https://127.9.8.7:"+port, pool)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.VerifyHostname("127.0.0.1") != nil {
		t.Error("the other addresses are lost")
	}
}

func TestABrokenAuthorityIsSaid(t *testing.T) {
	w := newWorld(t)
	if _, err := w.open().Own(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.key", "ca.crt"} {
		path := filepath.Join(w.dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{"broken": "x", "cut": string(good[:len(good)/2])} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := w.open().Own(); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s %s: %v", what, name, err)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(w.dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.open().Own(); err == nil || !strings.Contains(err.Error(), "ca.crt") {
		t.Errorf("without its key: %v", err)
	}
}

// pair writes a certificate of its own for localhost, and returns what trusts it.
func (w *world) pair(cert, key, name string) *x509.CertPool {
	w.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		w.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		w.t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	if err := os.WriteFile(cert, text, 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}

func TestTheAdministratorsCertificateIsReadAnew(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	s := w.open()
	if _, err := s.Files(cert, key); err == nil || !strings.Contains(err.Error(), cert) {
		t.Errorf("files that are not there: %v", err)
	}
	pool := w.pair(cert, key, "the first")
	c, err := s.Files(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	url := "https://localhost:" + w.serve(c, "127.0.0.1")
	expect := func(name string, pool *x509.CertPool) {
		t.Helper()
		w.later(time.Second)
		leaf, err := w.shown(url, pool)
		if err != nil || leaf.Subject.CommonName != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	expect("the first", pool)
	// Half of a renewal, and nonsense, leave the former in use.
	if err := os.WriteFile(cert, []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	expect("the first", pool)
	second := w.pair(cert, filepath.Join(dir, "other.key"), "the second")
	expect("the first", pool)
	if err := os.Rename(filepath.Join(dir, "other.key"), key); err != nil {
		t.Fatal(err)
	}
	expect("the second", second)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	expect("the second", second)
	if _, err := os.Stat(w.dir); err == nil {
		t.Error("an authority was made that nobody needs")
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	c, err := s.Own()
	if err != nil {
		t.Fatal(err)
	}
	port := w.serve(c, "127.0.0.1")
	pool := roots(t, s)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			w.later(100 * 24 * time.Hour / 20)
			if _, err := w.shown("https://localhost:"+port, pool); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

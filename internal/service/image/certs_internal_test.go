package image

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asked makes one request over the way and returns its error.
func asked(t *testing.T, w http.RoundTripper, url string) error {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.RoundTrip(r)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// A file that is written over leaves its folder as it was.
	if err := os.Chtimes(filepath.Dir(path), time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
}

func pemOf(raw []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}

func TestWhoVouchesForARegistry(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = nil
	host := strings.TrimPrefix(server.URL, "https://")
	ca := pemOf(server.Certificate().Raw)
	dir := t.TempDir()
	way := newTrusting(Trust{Folders: []string{filepath.Join(dir, "none"), dir}})

	if err := asked(t, way, server.URL); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("nobody vouches for it: %v", err)
	}
	// Another registry's folder is not this one's.
	writeFile(t, filepath.Join(dir, "other.example:5000", "ca.crt"), ca)
	writeFile(t, filepath.Join(dir, "ca.crt"), ca)
	if err := asked(t, way, server.URL); err == nil {
		t.Error("another's authority is believed")
	}
	file := filepath.Join(dir, host, "ca.crt")
	writeFile(t, file, ca)
	if err := asked(t, way, server.URL); err != nil {
		t.Errorf("with its folder: %v", err)
	}
	writeFile(t, file, "nonsense")
	if err := asked(t, way, server.URL); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("with nonsense: %v", err)
	}
	writeFile(t, file, ca)
	if err := asked(t, way, server.URL); err != nil {
		t.Errorf("mended: %v", err)
	}
	real := filepath.Join(dir, "real")
	writeFile(t, real, "nonsense")
	if err := errors.Join(os.Remove(file), os.Symlink(real, file)); err != nil {
		t.Fatal(err)
	}
	if err := asked(t, way, server.URL); err == nil {
		t.Error("a link to nonsense is believed")
	}
	writeFile(t, real, ca)
	if err := asked(t, way, server.URL); err != nil {
		t.Errorf("mended where the link leads: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, host)); err != nil {
		t.Fatal(err)
	}
	if err := asked(t, way, server.URL); err == nil {
		t.Error("the folder is gone, and is believed")
	}
}

func TestOurOwnAuthorityIsBelievedOnceThereIsOne(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	there := false
	way := newTrusting(Trust{Own: func(p *x509.CertPool) (bool, error) {
		if there {
			p.AddCert(server.Certificate())
		}
		return there, nil
	}})
	if err := asked(t, way, server.URL); err == nil {
		t.Error("believed before there is one")
	}
	there = true
	if err := asked(t, way, server.URL); err != nil {
		t.Error(err)
	}
}

func TestARegistryThatAsksWhoWeAre(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	me := &x509.Certificate{SerialNumber: big.NewInt(7), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	raw, err := x509.CreateCertificate(rand.Reader, me, me, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	dir := t.TempDir()
	way := newTrusting(Trust{Folders: []string{dir}})
	writeFile(t, filepath.Join(dir, host, "ca.crt"), pemOf(server.Certificate().Raw))
	if err := asked(t, way, server.URL); err == nil {
		t.Error("the server does not ask")
	}
	writeFile(t, filepath.Join(dir, host, "client.cert"), pemOf(raw))
	if err := asked(t, way, server.URL); err == nil || !strings.Contains(err.Error(), "client.cert") {
		t.Errorf("a certificate without its key: %v", err)
	}
	writeFile(t, filepath.Join(dir, host, "client.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if err := asked(t, way, server.URL); err != nil {
		t.Error(err)
	}
}

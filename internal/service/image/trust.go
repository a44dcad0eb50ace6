package image

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"lus/internal/base/errs"
)

// Trust says whose certificates registries may show, besides those that the
// system's authorities vouch for.
type Trust struct {
	// Folders have a folder for each registry, called HOST or HOST:PORT, as
	// Docker's /etc/docker/certs.d: *.crt in it are authorities, and *.cert with
	// the *.key of the same name is what we show that registry of ourselves.
	Folders []string
	// Own adds Lus's own authority, and tells whether there is one; nil: none.
	Own func(*x509.CertPool) (bool, error)
}

// Transport is a way to registries for others than a Service, by which they must
// prove who they are.
func (t Trust) Transport() http.RoundTripper { return newTrusting(t) }

// trusting is the way to registries that must prove who they are.
type trusting struct {
	trust Trust
	usual http.RoundTripper

	mu      sync.Mutex
	own     *http.Transport
	special map[string]*special // by folder
}

// special is the way to one registry whose folder says whom to believe.
type special struct {
	http.RoundTripper
	idle  func()
	state string // of the folder, when it was read
}

func newTrusting(t Trust) *trusting {
	return &trusting{trust: t, usual: wire(&tls.Config{MinVersion: tls.VersionTLS12}), special: map[string]*special{}}
}

// RoundTrip implements http.RoundTripper.
func (t *trusting) RoundTrip(r *http.Request) (*http.Response, error) {
	way, err := t.way(r.URL.Host)
	if err != nil {
		return nil, err
	}
	return way.RoundTrip(r)
}

func (t *trusting) way(host string) (http.RoundTripper, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, folder := range t.trust.Folders {
		for _, name := range []string{host, strings.TrimSuffix(host, ":443")} {
			if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
				continue
			}
			path := filepath.Join(folder, name)
			if st, err := os.Stat(path); err == nil && st.IsDir() {
				return t.folder(path)
			}
		}
	}
	if t.own != nil {
		return t.own, nil
	}
	roots, own, err := t.roots()
	if err != nil || !own {
		return t.usual, err
	}
	t.own = wire(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots})
	return t.own, nil
}

// roots are the system's authorities, and ours where there is one.
func (t *trusting) roots() (roots *x509.CertPool, own bool, err error) {
	if t.trust.Own == nil {
		roots, err = x509.SystemCertPool()
		return roots, false, err
	}
	if roots, err = x509.SystemCertPool(); err == nil {
		own, err = t.trust.Own(roots)
	}
	return roots, own, err
}

// folder is the way that a folder describes, read again when it changes.
func (t *trusting) folder(path string) (http.RoundTripper, error) {
	state, err := stateOf(path)
	if err != nil {
		return nil, err
	}
	if s := t.special[path]; s != nil {
		if s.state == state {
			return s, nil
		}
		s.idle()
		delete(t.special, path)
	}
	roots, _, err := t.roots()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if err := believe(config, path); err != nil {
		return nil, err
	}
	w := wire(config)
	t.special[path] = &special{w, w.CloseIdleConnections, state}
	return t.special[path], nil
}

// stateOf changes when a file of the folder does, also where a link leads.
func stateOf(path string) (string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", errs.New(errs.Invalid, "the certificates of a registry: %w", err)
	}
	var b strings.Builder
	for _, e := range entries {
		if st, err := os.Stat(filepath.Join(path, e.Name())); err == nil {
			fmt.Fprintln(&b, e.Name(), st.Size(), st.ModTime().UnixNano())
		}
	}
	return b.String(), nil
}

// believe reads a registry's folder into the configuration.
func believe(config *tls.Config, path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return errs.New(errs.Invalid, "the certificates of a registry: %w", err)
	}
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		switch filepath.Ext(file) {
		case ".crt":
			text, err := os.ReadFile(file)
			if err != nil {
				return errs.New(errs.Invalid, "the certificates of a registry: %w", err)
			}
			if !config.RootCAs.AppendCertsFromPEM(text) {
				return errs.New(errs.Invalid, "%s holds no certificate in PEM", file)
			}
		case ".cert":
			pair, err := tls.LoadX509KeyPair(file, strings.TrimSuffix(file, ".cert")+".key")
			if err != nil {
				return errs.New(errs.Invalid, "the certificate %s and the key beside it cannot be used: %w", file, err)
			}
			config.Certificates = append(config.Certificates, pair)
		}
	}
	return nil
}

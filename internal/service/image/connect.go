package image

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"lus/internal/base/errs"
)

// connections are the ways to registries that all transfers of a service
// share, so that one finds the connections of the one before still open.
type connections struct {
	strict  http.RoundTripper
	lenient http.RoundTripper // for those that may be reached without a certificate
	limits  Limits
}

func newConnections(l Limits, t Trust) *connections {
	c := &connections{limits: l}
	c.strict = newTrusting(t)
	// Who may be reached without TLS gets no more from a bad certificate.
	c.lenient = wire(&tls.Config{InsecureSkipVerify: true}) //nolint:gosec // asked for by configuration, or loopback
	return c
}

// wire is a connection pool without HTTP/2: a few layers at once come faster
// over as many connections than through one. How long anything may take is for
// the caller to say.
func wire(config *tls.Config) *http.Transport {
	dial := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dial.DialContext,
		MaxIdleConnsPerHost:   downloads + uploads,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: 5 * time.Second,
		TLSClientConfig:       config,
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
}

// road is the way to one registry and to wherever it leads from there.
type road struct {
	strict  http.RoundTripper
	lenient http.RoundTripper
	// plain tells the hosts that may be reached without TLS.
	plain  func(host string) bool
	limits Limits
	tries  int // of a request that a busy registry puts off
}

// road is the way to a registry. A mirror that is busy is no use: the next one
// is asked at once. What listens on this host may be reached without TLS, but not
// because a registry elsewhere leads there.
func (r Registries) road(home string, mirror bool) *road {
	c := r.shared
	if c == nil {
		c = newConnections(Limits{}.orDefault(), r.Trust)
	}
	tries := attempts
	if mirror {
		tries = 1
	}
	plain := func(host string) bool { return r.insecure(host) || loopback(host) && loopback(home) }
	return &road{strict: c.strict, lenient: docker.NewHTTPFallback(c.lenient), plain: plain, limits: c.limits, tries: tries}
}

// RoundTrip implements http.RoundTripper.
func (t *road) RoundTrip(r *http.Request) (*http.Response, error) {
	plain := t.plain(r.URL.Host)
	if r.URL.Scheme != "https" && !plain {
		if r.Body != nil {
			_ = r.Body.Close() // who writes it waits for that
		}
		return nil, errs.New(errs.Denied, "%s://%s was refused: without TLS anybody in between could read and change what is sent; "+
			"if that is acceptable, add %s to the insecure registries of the daemon's configuration", r.URL.Scheme, r.URL.Host, r.URL.Host)
	}
	next := t.strict
	if plain {
		next = t.lenient
	}
	return t.patiently(withoutForeignSecrets(r), next)
}

// withoutForeignSecrets takes the credentials off a request that a redirect
// sent to another place than they were meant for. Go's client keeps them for
// other ports and for subdomains.
func withoutForeignSecrets(r *http.Request) *http.Request {
	first := r
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	// A fallback to plain HTTP, where that is allowed, is no other place.
	if first == r || first.URL.Host == r.URL.Host && (first.URL.Scheme == r.URL.Scheme || r.URL.Scheme == "https") {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	r.Header.Del("Cookie")
	return r
}

// tokenClient asks for tokens. What it sends holds the password, so it goes
// where the registry said and nowhere from there.
func (t *road) tokenClient() *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		from := via[0].URL
		if r.URL.Host != from.Host || r.URL.Scheme != from.Scheme {
			return errs.New(errs.Denied, "the token server %s leads to %s://%s, which must not see the password: the registry's owner has to name the right server", from.Host, r.URL.Scheme, r.URL.Host)
		}
		if len(via) >= 5 {
			return errors.New("stopped after 5 redirects")
		}
		return nil
	}}
}

// realm checks where a registry wants its users to get tokens. A registry
// reached by TLS may name any server reached by TLS: its owner could ask for
// the password itself. One that is not may not send it in the clear to others.
func (t *road) realm(asked *http.Request, realm string) error {
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
		return errs.New(errs.Unavailable, "the registry %s asks for a token from %q, which is no address: its owner has to correct that", asked.URL.Host, realm)
	}
	if u.Scheme == "https" || (asked.URL.Scheme == "http" && t.plain(u.Host)) {
		return nil
	}
	return errs.New(errs.Denied, "the registry %s wants the credentials sent to %s without TLS: refused; its owner has to name an https server", asked.URL.Host, u.Host)
}

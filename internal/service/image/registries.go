package image

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/auth"

	"lus/internal/base/errs"
	"lus/internal/base/version"
	"lus/internal/model/image"
)

// Registries says how registries are reached where the defaults do not do.
type Registries struct {
	// Mirrors are asked before the registry itself: host -> URLs, such as
	// "docker.io" -> "https://mirror.example".
	Mirrors map[string][]string
	// Insecure registries may speak plain HTTP or have a certificate that
	// nobody vouches for: hosts, with or without port, or networks
	// (10.0.0.0/8). Loopback addresses always may, as in Docker.
	Insecure []string

	// Trust says whose certificates they may show.
	Trust Trust

	shared *connections // nil: ones of its own
}

// Credentials gives the user name and secret for a registry's host, as
// containerd asks for them: an empty user with a secret means an identity token.
type Credentials func(host string) (user, secret string, err error)

// Check says what in it cannot be.
func (r Registries) Check() error {
	for host, mirrors := range r.Mirrors {
		for _, m := range mirrors {
			u, err := url.Parse(m)
			if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
				return errs.New(errs.Invalid, "the mirror %q of registry %s is not a URL: write https://HOST", m, host)
			}
		}
	}
	return nil
}

// Hosts resolves the host of a reference to the places to ask, in order.
// Credentials go to the registry itself and never to a mirror.
func (r Registries) Hosts(creds Credentials) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		var hosts []docker.RegistryHost
		for _, m := range r.Mirrors[host] {
			u, err := url.Parse(m)
			if err != nil {
				return nil, err
			}
			h := r.host(u.Host, u.Scheme, nil, true)
			h.Path = strings.TrimSuffix(u.Path, "/") + "/v2"
			h.Capabilities = docker.HostCapabilityPull | docker.HostCapabilityResolve
			hosts = append(hosts, h)
		}
		name, err := docker.DefaultHost(host)
		if err != nil {
			return nil, err
		}
		return append(hosts, r.host(name, "https", creds, false)), nil
	}
}

func (r Registries) host(name, scheme string, creds Credentials, mirror bool) docker.RegistryHost {
	way := r.road(name, mirror)
	header := http.Header{"User-Agent": []string{"lus/" + version.String()}}
	opts := []docker.AuthorizerOpt{docker.WithAuthClient(way.tokenClient()), docker.WithAuthHeader(header)}
	if creds != nil {
		opts = append(opts, docker.WithAuthCreds(creds))
	}
	return docker.RegistryHost{
		Client:       &http.Client{Transport: way},
		Authorizer:   &careful{Authorizer: docker.NewDockerAuthorizer(opts...), way: way},
		Host:         name,
		Scheme:       scheme,
		Path:         "/v2",
		Header:       header,
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityPush | docker.HostCapabilityReferrers,
	}
}

// renewals is how often one request gets another token.
const renewals = 3

// careful is an authorizer that looks at where a registry sends it for tokens.
type careful struct {
	docker.Authorizer
	way *road
}

// AddResponses implements docker.Authorizer.
func (c *careful) AddResponses(ctx context.Context, answers []*http.Response) error {
	last := answers[len(answers)-1]
	for _, challenge := range auth.ParseAuthHeader(last.Header) {
		if challenge.Scheme != auth.BearerAuth {
			continue
		}
		if err := c.way.realm(last.Request, challenge.Parameters["realm"]); err != nil {
			return err
		}
	}
	if len(answers) <= renewals {
		// A token may end, for a layer beside this one, right after we got it:
		// more than one refusal in a row is not yet a no.
		answers = answers[len(answers)-1:]
	}
	return c.Authorizer.AddResponses(ctx, answers)
}

// split takes a host apart; ip is nil where it is a name.
func split(host string) (name string, ip net.IP) {
	name = host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return name, net.ParseIP(strings.Trim(name, "[]"))
}

// loopback reports whether a host is this one.
func loopback(host string) bool {
	name, ip := split(host)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// insecure reports whether somebody said that a registry may be reached without TLS.
func (r Registries) insecure(host string) bool {
	name, ip := split(host)
	for _, mirrors := range r.Mirrors {
		for _, m := range mirrors {
			if u, err := url.Parse(m); err == nil && u.Scheme == "http" && u.Host == host {
				return true // who writes http:// says so
			}
		}
	}
	for _, i := range r.Insecure {
		if i == host || i == name {
			return true
		}
		if _, network, err := net.ParseCIDR(i); err == nil && ip != nil && network.Contains(ip) {
			return true
		}
	}
	return false
}

// resolver asks the registries with one set of credentials, all meant for the
// registry called domain.
func (r Registries) resolver(domain string, auth *image.Auth) docker.ResolverOptions {
	creds, bearer := credentials(domain, auth)
	hosts := r.Hosts(creds)
	if bearer == "" {
		return docker.ResolverOptions{Hosts: hosts}
	}
	return docker.ResolverOptions{Hosts: func(host string) ([]docker.RegistryHost, error) {
		list, err := hosts(host)
		if err == nil && host == domain {
			list[len(list)-1].Authorizer = token(bearer)
		}
		return list, err
	}}
}

// credentials turns what X-Registry-Auth carries into what is asked for here.
func credentials(domain string, auth *image.Auth) (creds Credentials, bearer string) {
	if auth == nil {
		return nil, ""
	}
	user, secret := auth.Username, auth.Password
	if raw, err := base64.StdEncoding.DecodeString(auth.Auth); err == nil && user == "" && len(raw) > 0 {
		user, secret, _ = strings.Cut(string(raw), ":")
	}
	if auth.IdentityToken != "" {
		user, secret = "", auth.IdentityToken
	}
	if secret == "" {
		return nil, auth.RegistryToken
	}
	own, err := docker.DefaultHost(domain)
	if err != nil {
		own = domain
	}
	return func(host string) (string, string, error) {
		if host != own && host != domain {
			return "", "", nil
		}
		return user, secret, nil
	}, auth.RegistryToken
}

// token is an authorizer that shows one bearer token.
type token string

// Authorize implements docker.Authorizer.
func (t token) Authorize(_ context.Context, r *http.Request) error {
	r.Header.Set("Authorization", "Bearer "+string(t))
	return nil
}

// AddResponses implements docker.Authorizer: a refused token stays refused.
func (t token) AddResponses(context.Context, []*http.Response) error {
	return docker.ErrInvalidAuthorization
}

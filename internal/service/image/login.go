package image

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// hubHost is the registry that is meant where none is named.
const hubHost = "docker.io"

// Login tries credentials at their registry, which has to take them. Where it
// gives an identity token for a password, that is to be kept instead.
func (s *Service) Login(ctx context.Context, auth *image.Auth) (identityToken string, err error) {
	host := serverHost(auth.ServerAddress)
	hosts, err := s.registries.resolver(host, auth).Hosts(host)
	if err != nil {
		return "", errs.New(errs.Invalid, "invalid registry %q: %w", auth.ServerAddress, err)
	}
	at := hosts[len(hosts)-1] // the registry itself, after its mirrors
	if c, ok := at.Authorizer.(*careful); ok && auth.IdentityToken == "" {
		creds, _ := credentials(host, auth)
		c.Authorizer = docker.NewDockerAuthorizer(docker.WithAuthClient(c.way.tokenClient()), docker.WithAuthHeader(at.Header), docker.WithAuthCreds(creds),
			docker.WithFetchRefreshToken(func(_ context.Context, token string, _ *http.Request) { identityToken = token }))
	}
	url := at.Scheme + "://" + at.Host + at.Path + "/"
	code, text, err := asks(ctx, at, url)
	if err == nil && code == http.StatusUnauthorized {
		// The authorizer knows now what is asked for.
		code, text, err = asks(ctx, at, url)
	}
	switch {
	case err != nil:
		return "", loginError(host, url, err)
	case code == http.StatusOK:
		return identityToken, nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return "", errs.New(errs.Unauthenticated, "Get %q: unauthorized: the registry %s refused this user name and password", url, host)
	}
	return "", errs.New(errs.Unavailable, "login attempt to %s failed with status: %s", url, text)
}

// serverHost is the host of a server's address as clients keep it.
func serverHost(address string) string {
	host := address
	for _, scheme := range []string{"https://", "http://"} {
		host = strings.TrimPrefix(host, scheme)
	}
	host, _, _ = strings.Cut(host, "/")
	if host == "" || host == "index.docker.io" || host == "registry-1.docker.io" {
		return hubHost
	}
	return host
}

// asks makes one request, with what the authorizer has for it, and tells the
// authorizer of a refusal.
func asks(ctx context.Context, at docker.RegistryHost, url string) (code int, status string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header = at.Header.Clone()
	if err := at.Authorizer.Authorize(ctx, r); err != nil {
		return 0, "", err
	}
	resp, err := at.Client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		err = at.Authorizer.AddResponses(ctx, []*http.Response{resp})
	}
	return resp.StatusCode, resp.Status, err
}

func loginError(host, url string, err error) error {
	var status remoteerrors.ErrUnexpectedStatus
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization), errdefs.IsNotImplemented(err), // it asks for what was not given
		errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		return errs.New(errs.Unauthenticated, "Get %q: unauthorized: the registry %s refused this user name and password", url, host)
	}
	if known := commonError("login", host, err); known != nil {
		return known
	}
	return errs.New(errs.Unavailable, "the registry %s cannot be reached to try the credentials: %w: %s", host, err, hint)
}

// Package upstream asks another registry for manifests and blobs.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/base/version"
	model "lus/internal/model/registry"
)

// ErrNone: the registry answered, and has not what was asked for. ErrRefused: it
// does not give it to us, which some say of what does not exist.
var (
	ErrNone    = errors.New("the other registry has none")
	ErrRefused = errors.New("the other registry refuses it")
)

// Registry is another registry.
type Registry struct {
	host     string
	resolver remotes.Resolver
}

// Check says what is wrong with an upstream's URL.
func Check(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		return errs.New(errs.Invalid, "%q is not the URL of a registry: write https://HOST", text)
	}
	return nil
}

// New returns the registry that m leads to. Credentials go to it and to nobody
// it redirects to.
func New(m model.Upstream, transport http.RoundTripper) (*Registry, error) {
	if err := Check(m.URL); err != nil {
		return nil, err
	}
	u, err := url.Parse(m.URL)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport}
	header := http.Header{"User-Agent": []string{"lus/" + version.String()}}
	opts := []docker.AuthorizerOpt{docker.WithAuthClient(client), docker.WithAuthHeader(header)}
	if m.Username != "" {
		opts = append(opts, docker.WithAuthCreds(func(host string) (string, string, error) {
			if host != u.Host {
				return "", "", nil
			}
			return m.Username, m.Password, nil
		}))
	}
	host := docker.RegistryHost{
		Client: client, Authorizer: docker.NewDockerAuthorizer(opts...), Host: u.Host, Scheme: u.Scheme,
		Path: strings.TrimSuffix(u.Path, "/") + "/v2", Header: header, Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
	}
	hosts := func(string) ([]docker.RegistryHost, error) { return []docker.RegistryHost{host}, nil }
	return &Registry{host: u.Host, resolver: docker.NewResolver(docker.ResolverOptions{Hosts: hosts})}, nil
}

// Resolve tells what a tag ("app:1") or digest ("app@sha256:...") stands for.
func (r *Registry) Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	_, desc, err := r.resolver.Resolve(ctx, r.host+"/"+ref)
	return desc, sorted(err)
}

// Manifest fetches a manifest that Resolve told of, checked against its digest.
func (r *Registry) Manifest(ctx context.Context, repository string, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	f, err := r.resolver.Fetcher(ctx, r.host+"/"+repository+"@"+desc.Digest.String())
	if err != nil {
		return nil, err
	}
	rc, err := f.Fetch(ctx, desc)
	if err != nil {
		return nil, sorted(err)
	}
	defer rc.Close()
	raw, err := io.ReadAll(io.LimitReader(rc, limit+1))
	if err != nil {
		return nil, err
	}
	if desc.Digest.Algorithm().FromBytes(raw) != desc.Digest {
		return nil, fmt.Errorf("what %s sent is not the manifest %s", r.host, desc.Digest)
	}
	return raw, nil
}

// Blob opens a blob; its size is below zero where the registry does not tell it.
func (r *Registry) Blob(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, int64, error) {
	f, err := r.resolver.Fetcher(ctx, r.host+"/"+repository+"@"+d.String())
	if err != nil {
		return nil, 0, err
	}
	by, ok := f.(remotes.FetcherByDigest)
	if !ok {
		return nil, 0, errs.New(errs.Internal, "blobs cannot be asked for by digest")
	}
	rc, desc, err := by.FetchByDigest(ctx, d)
	return rc, desc.Size, sorted(err)
}

// sorted tells the answers that matter apart.
func sorted(err error) error {
	var status remoteerrors.ErrUnexpectedStatus
	code := 0
	if errors.As(err, &status) {
		code = status.StatusCode
	}
	var untrusted *tls.CertificateVerificationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &untrusted):
		return fmt.Errorf("its certificate is not trusted (%w): put that of its authority into /etc/lus/certs.d/HOST:PORT/ca.crt", untrusted.Err)
	case errdefs.IsNotFound(err), code == http.StatusNotFound, strings.Contains(err.Error(), ": 404 "): // of a HEAD the library tells it in the text alone
		return fmt.Errorf("%w: %w", ErrNone, err)
	case errors.Is(err, docker.ErrInvalidAuthorization), code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

package daemon

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/model/image"
	model "lus/internal/model/registry"
	"lus/internal/service/registry"
)

// ownRegistry is the registry as the images and Docker's API see it: they reach
// it without a connection. It is filled in once there is one.
type ownRegistry struct {
	registry *registry.Service
	listener *registryListener
	signIn   func(ctx context.Context, auth *image.Auth) (model.Who, error)
}

// lookUp is how long the name of a registry at our port may take to resolve.
const lookUp = 2 * time.Second

// Serves reports whether host leads to our own listener: its port, and an
// address of this host that it listens at.
func (o *ownRegistry) Serves(ctx context.Context, host string) bool {
	if o.listener == nil {
		return false
	}
	at, err := netip.ParseAddrPort(o.listener.listening())
	if err != nil {
		return false
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, "443"
	}
	if port != portOf(at) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookUp)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", strings.Trim(name, "[]"))
	if err != nil || len(ips) == 0 {
		return false
	}
	for _, ip := range ips {
		if !reached(at.Addr(), ip.Unmap()) {
			return false
		}
	}
	return true
}

func portOf(at netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(at.String())
	return port
}

// reached reports whether who connects to ip on this host reaches a listener at
// addr. For localhost its IPv6 address counts as well: nobody else has our port
// there under that name.
func reached(addr, ip netip.Addr) bool {
	addr = addr.Unmap()
	if addr == ip || addr.IsLoopback() && ip == netip.IPv6Loopback() {
		return true
	}
	if !addr.IsUnspecified() {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == ip {
			return true
		}
	}
	return false
}

// Link implements the image service's Own.
func (o *ownRegistry) Link(ctx context.Context, auth *image.Auth, repository, tag, mediaType string, raw []byte) ([]digest.Digest, error) {
	who, err := o.signIn(ctx, auth)
	if err != nil {
		return nil, err
	}
	return o.registry.Link(ctx, who, repository, tag, mediaType, raw)
}

// Keeps implements the image service's Own.
func (o *ownRegistry) Keeps(ctx context.Context) (repositories int, blobs []digest.Digest, err error) {
	if o.registry == nil {
		return 0, nil, nil
	}
	st, err := o.registry.Status(ctx)
	if err != nil {
		return 0, nil, err
	}
	blobs, err = o.registry.Held(ctx)
	return st.Repositories, blobs, err
}

// SearchImages implements Docker's search.
func (o *ownRegistry) SearchImages(ctx context.Context, term string, limit int) ([]image.Found, error) {
	at := ""
	if o.listener != nil {
		at = o.listener.listening()
	}
	if at == "" {
		return nil, errs.New(errs.Unavailable, "images are not searched for: no hub is asked, and the registry of this host is not enabled (lus registry enable); pull by name")
	}
	host := called(at)
	// Whoever speaks to the daemon's socket may see everything.
	list, err := o.registry.Search(ctx, model.Who{Root: true}, strings.TrimPrefix(term, host+"/"), limit)
	if err != nil {
		return nil, err
	}
	out := make([]image.Found, 0, len(list))
	for _, f := range list {
		out = append(out, image.Found{Name: host + "/" + f.Name, Description: f.Description})
	}
	return out, nil
}

// called is how names of images on this host call the registry.
func called(at string) string {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return at
	}
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// listening is where the registry is reached now; empty: nowhere.
func (l *registryListener) listening() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

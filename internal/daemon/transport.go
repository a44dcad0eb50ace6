package daemon

import (
	"crypto/tls"
	"net"
	"net/netip"
	"path/filepath"

	"lus/internal/base/errs"
	model "lus/internal/model/registry"
	"lus/internal/service/certificate"
)

// transport is how the registry's listener proves who it is; nil is plain HTTP.
// Off this host that is had only by asking for it: passwords go that way.
func transport(certs *certificate.Service, set model.Settings) (*tls.Config, error) {
	t := set.TLS
	files := t.Certificate != "" || t.Key != ""
	switch {
	case t.Never && (files || t.Always):
		return nil, errs.New(errs.Invalid, "the registry cannot speak both TLS and not: leave one of them out")
	case files && (!filepath.IsAbs(t.Certificate) || !filepath.IsAbs(t.Key)):
		return nil, errs.New(errs.Invalid, "a certificate and its key are needed both, each by an absolute path")
	case files:
		return certs.Files(t.Certificate, t.Key)
	case t.Never, loopback(set.Address) && !t.Always:
		return nil, nil
	}
	if err := certs.Name(t.Names...); err != nil {
		return nil, err
	}
	return certs.Own()
}

// loopback reports whether nobody but this host reaches an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

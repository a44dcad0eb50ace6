package token

import (
	"context"
	"encoding/base64"
	"net/netip"
	"strings"

	"lus/internal/model/image"
	"lus/internal/model/registry"
)

// SignIn returns who somebody is who asks by the daemon's own socket, with the
// credentials that Docker's API takes along for a registry. Without any it is
// somebody on this host.
func (e *Edge) SignIn(ctx context.Context, auth *image.Auth) (registry.Who, error) {
	p := proof{}
	if auth != nil {
		name, secret := auth.Username, auth.Password
		if raw, err := base64.StdEncoding.DecodeString(auth.Auth); err == nil && name == "" && len(raw) > 0 {
			name, secret, _ = strings.Cut(string(raw), ":")
		}
		var err error
		switch {
		case auth.RegistryToken != "":
			return registry.Who{}, refuse("a bearer token is for the network: log in with a name and a password or token")
		case auth.IdentityToken != "":
			p.id, err = e.accounts.Refresh(auth.IdentityToken, netip.Addr{})
		case secret != "":
			p.id, err = e.accounts.Login(ctx, name, secret, netip.Addr{})
		}
		if err != nil {
			return registry.Who{}, asRefusal(err)
		}
	}
	p.id.Local = true
	return p.who(), nil
}

// Package token is how requests to the registry say who sends them: by a user
// name and a secret, or by a bearer token that the endpoint here hands out for
// exactly what a client asks and may have. It is Docker's token authentication,
// which every client of registries speaks.
package token

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/account"
	"lus/internal/model/registry"
)

// Path is where the endpoint is mounted.
const Path = "/token"

// Audience is whom the tokens are for: the service in the challenge.
const Audience = "lus-registry"

// Accounts is what is asked of the account service.
type Accounts interface {
	Login(ctx context.Context, name, secret string, from netip.Addr) (account.Identity, error)
	Refresh(secret string, from netip.Addr) (account.Identity, error)
	Remember(ctx context.Context, id account.Identity, purpose string) (secret string, err error)
	Bearer(id account.Identity, audience string, grants []account.Grant) (token string, life time.Duration, err error)
	Verify(token, audience string) (account.Identity, []account.Grant, error)
	Allowed(id account.Identity, a account.Actions, r account.Resource) bool
}

// Edge authenticates requests, says what they may do, and hands out tokens.
type Edge struct {
	accounts Accounts
	log      *slog.Logger
	now      func() time.Time
}

// New returns the edge over the accounts.
func New(a Accounts, log *slog.Logger) *Edge {
	return &Edge{accounts: a, log: log, now: time.Now}
}

// proof is what a request has shown of who sends it, as it goes through the
// registry and comes back to Allowed.
type proof struct {
	id account.Identity
	// limited: a bearer token was shown, which is good for grants alone.
	limited bool
	grants  map[string]account.Actions // by repository
}

func (p proof) who() registry.Who { return registry.Who{Name: p.id.Name, Proof: p} }

// catalog is the right to list repositories, of which each sees what they may
// read. Bearer tokens must ask for it like for any other.
func catalog() account.Resource { return account.Resource{Kind: "catalog", Name: "registry"} }

const (
	basePath    = "/v2/"
	catalogPath = "/v2/_catalog"
)

// Authenticate returns who sends a request. Without credentials that is nobody
// in particular, but where clients look for the challenge they get it.
func (e *Edge) Authenticate(r *http.Request) (registry.Who, error) {
	if header := r.Header.Values("Authorization"); len(header) > 1 {
		return registry.Who{}, refuse("more than one Authorization header")
	}
	local := fromHere(r)
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case scheme == "":
		if path := r.URL.Path; path == basePath || path == strings.TrimSuffix(basePath, "/") || path == catalogPath {
			return registry.Who{}, refuse("authentication required")
		}
		return (proof{id: account.Identity{Local: local}}).who(), nil
	case strings.EqualFold(scheme, "Basic"):
		return e.basic(r, local)
	case strings.EqualFold(scheme, "Bearer"):
		return e.bearer(r, strings.TrimSpace(rest), local)
	}
	return registry.Who{}, refuse("the authentication scheme is not known here: use Basic or Bearer")
}

func (e *Edge) basic(r *http.Request, local bool) (registry.Who, error) {
	name, secret, ok := r.BasicAuth()
	if !ok {
		return registry.Who{}, refuse("the Authorization header cannot be read")
	}
	if name == "" && secret == "" { // clients without credentials send these
		return proof{id: account.Identity{Local: local}}.who(), nil
	}
	id, err := e.accounts.Login(r.Context(), name, secret, address(r))
	if err != nil {
		return registry.Who{}, asRefusal(err)
	}
	id.Local = local
	return proof{id: id}.who(), nil
}

func (e *Edge) bearer(r *http.Request, token string, local bool) (registry.Who, error) {
	id, grants, err := e.accounts.Verify(token, Audience)
	if err != nil {
		return registry.Who{}, asRefusal(err)
	}
	id.Local = local
	p := proof{id: id, limited: true, grants: map[string]account.Actions{}}
	list := false
	for _, g := range grants {
		list = list || g.Resource == catalog()
		if g.Resource.Kind == account.Registry {
			p.grants[g.Resource.Name] |= g.Actions
		}
	}
	if r.URL.Path == catalogPath {
		if !list {
			return registry.Who{}, refuse("the token is not for the catalogue")
		}
		p.limited = false // each name in the list is asked of the rules
	}
	return p.who(), nil
}

// Allowed says whether somebody may do something in a repository: nil, or
// errs.Unauthenticated where coming back with another token or a name could
// help, or errs.Denied.
func (e *Edge) Allowed(_ context.Context, who registry.Who, repository string, action registry.Action) error {
	if who.Root {
		return nil
	}
	a, ok := actionOf(string(action))
	if !ok {
		return errs.New(errs.Denied, "%q is nothing that can be allowed", action)
	}
	p, _ := who.Proof.(proof) // anything else is nobody
	live := e.accounts.Allowed(p.id, a, account.Repository(repository))
	switch {
	case live && (!p.limited || p.grants[repository].Has(a)):
		return nil
	case live:
		return errs.New(errs.Unauthenticated, "the token is not for this: authentication required")
	case p.id.Anonymous():
		return errs.New(errs.Unauthenticated, "authentication required")
	}
	return errs.New(errs.Denied, "requested access to the resource is denied")
}

// Challenge is the WWW-Authenticate header of a 401.
func (e *Edge) Challenge(r *http.Request, repository string, actions ...registry.Action) string {
	c := `Bearer realm="` + origin(r) + Path + `",service="` + Audience + `"`
	switch {
	case repository != "" && registry.CheckName(repository) == nil && len(actions) > 0:
		list := make([]string, len(actions))
		for i, a := range actions {
			list[i] = string(a)
		}
		c += `,scope="repository:` + repository + ":" + strings.Join(list, ",") + `"`
	case r.URL.Path == catalogPath:
		c += `,scope="registry:catalog:*"`
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return c
	}
	if _, _, err := e.accounts.Verify(token, Audience); err != nil {
		return c + `,error="invalid_token"`
	}
	return c + `,error="insufficient_scope"`
}

// origin is how the client reaches us. What it says itself can only mislead
// itself; a proxy in front that speaks TLS is believed to do so.
func origin(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	host := r.Host
	if host == "" || strings.ContainsFunc(host, func(c rune) bool {
		return c > 0x7f || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]", c)
	}) {
		host = "localhost"
		if a, ok := r.Context().Value(http.LocalAddrContextKey).(interface{ String() string }); ok {
			host = a.String()
		}
	}
	return scheme + "://" + host
}

func address(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// fromHere reports whether a request comes from this host, and not by way of a
// proxy on it, nor of a web page that a browser on it shows: that tells where it
// is from, or comes by a name of its own that was made to lead here.
func fromHere(r *http.Request) bool {
	for _, h := range []string{"Origin", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	a := address(r)
	return a.IsValid() && a.IsLoopback() && (r.TLS != nil || ours(r.Host))
}

// ours reports whether a host in a request is what nobody else can lead here: an
// address, localhost, or this host's own name. By TLS the certificate says so.
func ours(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if _, err := netip.ParseAddr(name); err == nil || name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	own, err := os.Hostname()
	return err == nil && strings.EqualFold(name, own)
}

func refuse(why string) error {
	return registry.Fail(errs.Unauthenticated, registry.Unauthorized, "%s", why)
}

// asRefusal gives what the accounts say a code of the specification.
func asRefusal(err error) error {
	switch errs.KindOf(err) {
	case errs.Unauthenticated:
		return refuse(err.Error())
	case errs.TooMany:
		return &errs.Error{Kind: errs.TooMany, Msg: err.Error(), Err: errors.Join(registry.TooManyRequests, err)}
	}
	return err
}

// actionOf and words are the two ways between the registry's words and those of
// accounts.
func actionOf(word string) (account.Actions, bool) {
	switch registry.Action(word) {
	case registry.Read:
		return account.Read, true
	case registry.Write:
		return account.Write, true
	case registry.Delete:
		return account.Delete, true
	}
	return account.All, word == "*"
}

func words(a account.Actions) (out []registry.Action) {
	for _, w := range []registry.Action{registry.Read, registry.Write, registry.Delete} {
		if b, _ := actionOf(string(w)); a.Has(b) {
			out = append(out, w)
		}
	}
	return out
}

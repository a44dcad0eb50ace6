package token

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"lus/internal/api/status"
	"lus/internal/base/errs"
	"lus/internal/model/account"
	"lus/internal/model/registry"
)

// The bounds of a request for a token.
const (
	maxForm   = 64 << 10
	maxScopes = 64
)

// answer is a token, under both of the names that clients look for.
type answer struct {
	Token     string `json:"token"`
	Access    string `json:"access_token"`
	ExpiresIn int    `json:"expires_in"` // seconds
	IssuedAt  string `json:"issued_at"`
	Scope     string `json:"scope,omitempty"`
	Refresh   string `json:"refresh_token,omitempty"`
}

// ServeHTTP hands out tokens: to GET with Basic credentials or none, and to POST
// as OAuth 2 has it, with a password or with a token that was kept.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	a, err := e.answer(w, r)
	if err != nil {
		e.fail(w, r, err)
		return
	}
	reply(w, http.StatusOK, a)
}

func (e *Edge) answer(w http.ResponseWriter, r *http.Request) (*answer, error) {
	var id account.Identity
	var form url.Values
	var keep bool
	var err error
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		form = r.URL.Query()
		if r.Header.Get("Authorization") != "" {
			who, err := e.basic(r, false)
			if err != nil {
				return nil, err
			}
			id = who.Proof.(proof).id
		}
		keep = form.Get("offline_token") == "true"
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			return nil, errs.New(errs.Invalid, "the form cannot be read: %w", err)
		}
		form = r.PostForm
		if id, err = e.oauth(r, form); err != nil {
			return nil, asRefusal(err)
		}
		keep = form.Get("access_type") == "offline"
	default:
		w.Header().Set("Allow", "GET, POST")
		return nil, registry.Fail(errs.Unsupported, registry.Unsupported, "tokens are handed out to GET and POST")
	}
	id.Local = fromHere(r)
	if service := form.Get("service"); service != "" && service != Audience {
		return nil, errs.New(errs.Invalid, "service %.80q is not this one, which is %s", service, Audience)
	}
	grants := e.grants(id, form["scope"])
	a := &answer{IssuedAt: e.now().UTC().Format(time.RFC3339), Scope: scopes(grants)}
	token, life, err := e.accounts.Bearer(id, Audience, grants)
	if err != nil {
		return nil, err
	}
	a.Token, a.Access, a.ExpiresIn = token, token, int(life.Seconds())
	switch {
	case form.Get("grant_type") == "refresh_token":
		a.Refresh = form.Get("refresh_token") // still good
	case keep && !id.Anonymous() && id.Token == "":
		if a.Refresh, err = e.accounts.Remember(r.Context(), id, purpose(r, form)); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (e *Edge) oauth(r *http.Request, form url.Values) (account.Identity, error) {
	switch g := form.Get("grant_type"); g {
	case "password":
		return e.accounts.Login(r.Context(), form.Get("username"), form.Get("password"), address(r))
	case "refresh_token":
		return e.accounts.Refresh(form.Get("refresh_token"), address(r))
	default:
		return account.Identity{}, errs.New(errs.Invalid, "grant_type %.40q is not known: use password or refresh_token", g)
	}
}

// purpose tells people which client keeps a token. Its program's name says more
// than the id, which is that of a library at times.
func purpose(r *http.Request, form url.Values) string {
	client, _, _ := strings.Cut(r.UserAgent(), " ")
	client, _, _ = strings.Cut(client, "/")
	client = cmp.Or(client, form.Get("client_id"))
	return client + "@" + address(r).String()
}

// grants is what the identity may have of the scopes that a client asks for. What
// it may not have is left out: the registry refuses it where it is tried, and can
// tell why.
func (e *Edge) grants(id account.Identity, asked []string) (out []account.Grant) {
	for scope := range strings.FieldsSeq(strings.Join(asked, " ")) {
		if len(out) == maxScopes {
			break
		}
		kind, name, actions, ok := parse(scope)
		switch {
		case !ok:
		case kind == "registry" && name == "catalog":
			out = append(out, account.Grant{Resource: catalog(), Actions: account.Read})
		case kind == "repository" && registry.CheckName(name) == nil:
			r := account.Repository(name)
			var got account.Actions
			for _, w := range words(actions) {
				if a, _ := actionOf(string(w)); e.accounts.Allowed(id, a, r) {
					got |= a
				}
			}
			if got != 0 {
				out = append(out, account.Grant{Resource: r, Actions: got})
			}
		}
	}
	return out
}

// parse reads TYPE[(CLASS)]:NAME:ACTIONS.
func parse(scope string) (kind, name string, actions account.Actions, ok bool) {
	kind, rest, found := strings.Cut(scope, ":")
	last := strings.LastIndexByte(rest, ':')
	if !found || last < 0 {
		return "", "", 0, false
	}
	kind, _, _ = strings.Cut(kind, "(")
	for word := range strings.SplitSeq(rest[last+1:], ",") {
		if a, known := actionOf(word); known {
			actions |= a
		}
	}
	return kind, rest[:last], actions, true
}

// scopes is what was granted, in the words of what was asked.
func scopes(grants []account.Grant) string {
	var out []string
	for _, g := range grants {
		if g.Resource == catalog() {
			out = append(out, "registry:catalog:*")
			continue
		}
		var list []string
		for _, w := range words(g.Actions) {
			list = append(list, string(w))
		}
		out = append(out, "repository:"+g.Resource.Name+":"+strings.Join(list, ","))
	}
	return strings.Join(out, " ")
}

func (e *Edge) fail(w http.ResponseWriter, r *http.Request, err error) {
	kind := errs.KindOf(err)
	code, msg := status.Of(kind), err.Error()
	var word registry.Code
	if !errors.As(err, &word) {
		word = registry.Unsupported
	}
	switch kind {
	case errs.Internal:
		if r.Context().Err() == nil {
			e.log.Error("a token could not be handed out", "error", err)
		}
		word, msg = registry.Unavailable, "the registry failed; its log tells more"
	case errs.Unauthenticated:
		w.Header().Set("Www-Authenticate", `Basic realm="`+Audience+`"`)
	case errs.Unsupported:
		code = http.StatusMethodNotAllowed
	}
	var wait account.Wait
	if errors.As(err, &wait) {
		w.Header().Set("Retry-After", strconv.Itoa(wait.Seconds()))
	}
	type one struct {
		Code    registry.Code `json:"code"`
		Message string        `json:"message"`
	}
	reply(w, code, map[string]any{"errors": []one{{word, msg}}})
}

func reply(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		code, data = http.StatusInternalServerError, []byte(`{"errors":[{"code":"UNAVAILABLE","message":"the answer cannot be written"}]}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(data)
}

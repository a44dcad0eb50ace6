// Package account answers /lus/v1/accounts, /lus/v1/tokens and /lus/v1/rules on
// the daemon's own socket: who there is and who may do what.
package account

import (
	"context"
	"encoding/json"
	"net/http"

	"lus/internal/api/status"
	"lus/internal/base/errs"
	"lus/internal/model/account"
)

// Prefixes are where the handler is mounted.
func Prefixes() []string {
	return []string{users, users + "/", tokens, tokens + "/", rules, decision}
}

const (
	users    = "/lus/v1/accounts"
	tokens   = "/lus/v1/tokens"
	rules    = "/lus/v1/rules"
	decision = "/lus/v1/rules/decision"
)

// maxBody bounds a request.
const maxBody = 64 << 10

// Accounts is what the handler asks of the account service.
type Accounts interface {
	List() []account.User
	Get(name string) (account.User, error)
	Create(ctx context.Context, n account.NewUser) (account.User, error)
	Change(ctx context.Context, name string, c account.Changes) (account.User, error)
	Remove(ctx context.Context, name string) error
	Tokens(user string) ([]account.Token, error)
	CreateToken(ctx context.Context, user string, r account.TokenRequest) (account.NewToken, error)
	RemoveToken(ctx context.Context, id string) error
	Rules() []account.Rule
	Grant(ctx context.Context, r account.Rule) error
	Revoke(ctx context.Context, who string, resource account.Pattern) error
	Explain(who string, a account.Actions, resource string) (account.Decision, error)
}

// New returns the handler for everything below Prefixes.
func New(a Accounts) http.Handler {
	h := handler{a}
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(*http.Request) (any, error){
		"GET " + users:                     func(*http.Request) (any, error) { return a.List(), nil },
		"POST " + users:                    h.create,
		"GET " + users + "/{name}":         func(r *http.Request) (any, error) { return a.Get(r.PathValue("name")) },
		"PATCH " + users + "/{name}":       h.change,
		"DELETE " + users + "/{name}":      func(r *http.Request) (any, error) { return nil, a.Remove(r.Context(), r.PathValue("name")) },
		"POST " + users + "/{name}/tokens": h.createToken,
		"GET " + tokens:                    func(r *http.Request) (any, error) { return a.Tokens(r.URL.Query().Get("user")) },
		"DELETE " + tokens + "/{id}":       func(r *http.Request) (any, error) { return nil, a.RemoveToken(r.Context(), r.PathValue("id")) },
		"GET " + rules:                     func(*http.Request) (any, error) { return a.Rules(), nil },
		"PUT " + rules:                     h.grant,
		"DELETE " + rules:                  h.revoke,
		"GET " + decision:                  h.explain,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			answer(w, r, serve)
		})
	}
	return mux
}

type handler struct{ a Accounts }

func (h handler) create(r *http.Request) (any, error) {
	var n account.NewUser
	if err := decode(r, &n); err != nil {
		return nil, err
	}
	return h.a.Create(r.Context(), n)
}

func (h handler) change(r *http.Request) (any, error) {
	var c account.Changes
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	return h.a.Change(r.Context(), r.PathValue("name"), c)
}

func (h handler) createToken(r *http.Request) (any, error) {
	var t account.TokenRequest
	if err := decode(r, &t); err != nil {
		return nil, err
	}
	return h.a.CreateToken(r.Context(), r.PathValue("name"), t)
}

func (h handler) grant(r *http.Request) (any, error) {
	var rule account.Rule
	if err := decode(r, &rule); err != nil {
		return nil, err
	}
	return rule, h.a.Grant(r.Context(), rule)
}

func (h handler) revoke(r *http.Request) (any, error) {
	q := r.URL.Query()
	return nil, h.a.Revoke(r.Context(), q.Get("who"), account.Pattern(q.Get("resource")))
}

func (h handler) explain(r *http.Request) (any, error) {
	q := r.URL.Query()
	actions, err := account.ParseActions(q.Get("actions"))
	if err != nil {
		return nil, err
	}
	return h.a.Explain(q.Get("who"), actions, q.Get("resource"))
}

// decode reads a body, and refuses what it does not know: a word that is
// ignored would be a right that somebody believes to have been taken.
func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if errs.KindOf(err) == errs.Invalid { // a word of ours that is none
			return err
		}
		return errs.New(errs.Invalid, "the request cannot be read: %w", err)
	}
	return nil
}

func answer(w http.ResponseWriter, r *http.Request, serve func(*http.Request) (any, error)) {
	v, err := serve(r)
	code := http.StatusOK
	if err != nil {
		code, v = status.Of(errs.KindOf(err)), map[string]string{"message": err.Error()}
	} else if v == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	data, err := json.Marshal(v)
	if err != nil {
		code, data = http.StatusInternalServerError, []byte(`{"message":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // a token's secret is in one of them
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n'))
}

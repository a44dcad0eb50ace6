package account

import (
	"fmt"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/account"
)

// Allowed says whether somebody may do something. It is asked of the rules as
// they are now: what was taken back is so at once.
func (s *Service) Allowed(id account.Identity, a account.Actions, r account.Resource) bool {
	st := s.state.Load()
	if id.Anonymous() {
		return st.allows(nil, id.Local, a, r) != ""
	}
	u, ok := st.current(id, s.now())
	if !ok {
		return false
	}
	if id.Token != "" && !covers(st.tokens[id.Token].Scopes, a, r) {
		return false
	}
	return st.allows(u, id.Local, a, r) != ""
}

// allows gives the reason for which a user (nil: nobody in particular) may do
// all of the actions; empty where nothing allows it. Each action may have a
// reason of its own.
func (st *state) allows(u *user, local bool, a account.Actions, r account.Resource) (reason string) {
	if a == 0 || a&^account.All != 0 || r.Kind == "" || r.Name == "" {
		return ""
	}
	if u != nil && u.admin {
		return u.name + " is an admin"
	}
	if u != nil && u.name != "" && r.Owner() == u.name {
		return fmt.Sprintf("what is below %s/ is %s's", u.name, u.name)
	}
	keys := []any{account.Anonymous}
	if local {
		keys = append(keys, account.Loopback)
	}
	if u != nil {
		keys = append(keys, account.Users, u.id)
	}
	var rules []account.Scope
	for _, k := range keys {
		rules = append(rules, st.granted[k]...)
	}
	if !covers(rules, a, r) {
		return ""
	}
	return "a rule allows it"
}

// covers reports whether the scopes together contain all of the actions.
func covers(scopes []account.Scope, a account.Actions, r account.Resource) bool {
	var got account.Actions
	for _, s := range scopes {
		if s.Resource.Matches(r) {
			got |= s.Actions
		}
	}
	return got.Has(a)
}

// Explain says whether a user, or one of the words of rules, may do something,
// and why.
func (s *Service) Explain(who string, a account.Actions, resource string) (account.Decision, error) {
	p, err := account.ParsePattern(resource)
	if err != nil {
		return account.Decision{}, err
	}
	r, err := single(p)
	if err != nil {
		return account.Decision{}, err
	}
	st := s.state.Load()
	var u *user
	switch who {
	case account.Anonymous, account.Loopback:
	case account.Users:
		u = &user{} // signed in, and nobody in particular
	default:
		if u = st.names[who]; u == nil {
			return account.Decision{}, notFound(who)
		}
		if u.disabled {
			return account.Decision{Reason: who + " is disabled"}, nil
		}
	}
	if reason := st.allows(u, who == account.Loopback, a, r); reason != "" {
		return account.Decision{Allowed: true, Reason: reason}, nil
	}
	return account.Decision{Reason: fmt.Sprintf("no rule lets %s do that: `lus account grant %s %s %s` would", who, who, a, r)}, nil
}

func single(p account.Pattern) (account.Resource, error) {
	kind, name, _ := strings.Cut(string(p), ":")
	if name == "" || name[len(name)-1] == '*' {
		return account.Resource{}, errs.New(errs.Invalid, "%q is more than one: name a single thing, as registry:me/app", string(p))
	}
	return account.Resource{Kind: kind, Name: name}, nil
}

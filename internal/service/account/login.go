package account

import (
	"context"
	"net/netip"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/account"
	"lus/internal/service/account/internal/throttle"
)

// refused is what everybody hears who does not prove who they are, whatever it
// was that was wrong.
func refused() error {
	return errs.New(errs.Unauthenticated, "unauthorized: incorrect username or password")
}

// Login proves who somebody is by a password or a token's secret, shown together
// with a user's name. from is the address it comes from; the zero value where it
// has none. Who was wrong too often has to wait: errs.TooMany, with an
// account.Wait in its chain.
func (s *Service) Login(ctx context.Context, name, secret string, from netip.Addr) (account.Identity, error) {
	if len(name) > 256 || len(secret) > 8192 {
		return account.Identity{}, refused()
	}
	if t := s.state.Load().find(secret, s.now()); t != nil && t.User == name && !t.user.disabled {
		return s.signIn(t, name, from), nil
	}
	// One after the other: a try counts as wrong until it has been looked at, and
	// many at once with the right password would hold each other up.
	leave, err := s.turns.Lock(ctx, comer{name, from})
	if err != nil {
		return account.Identity{}, err
	}
	defer leave()
	done, wait := s.guess.Try(name, from)
	if wait > 0 {
		return account.Identity{}, tooMany(wait)
	}
	id, err := s.prove(ctx, name, secret)
	switch {
	case err == nil:
		done(throttle.Right)
	case errs.Is(err, errs.Unauthenticated):
		s.log.Info("somebody was not let in", "user", clean(name), "from", from.String())
		done(throttle.Wrong)
	default:
		done(throttle.Untried) // it did not come to the hash
	}
	return id, err
}

// signIn is who shows a token. Nobody guesses one, so it is taken also while guesses
// are held up; else it forgives wrong tries as a password does.
func (s *Service) signIn(t *token, name string, from netip.Addr) account.Identity {
	if done, wait := s.guess.Try(name, from); wait == 0 {
		done(throttle.Right)
	}
	s.used.note(t.ID, s.now())
	return t.user.identity(t.ID)
}

func tooMany(wait time.Duration) error {
	return errs.With(errs.TooMany, account.Wait{For: wait})
}

func (s *Service) prove(ctx context.Context, name, secret string) (account.Identity, error) {
	st := s.state.Load()
	if st.find(secret, s.now()) != nil { // another's
		return account.Identity{}, refused()
	}
	// Whoever it is, it takes one hash: how long it takes tells nobody who there
	// is, nor who is disabled.
	u, hash := st.names[name], ""
	if u != nil {
		hash = u.hash
	}
	same, err := s.hasher.Same(ctx, hash, secret)
	if err != nil {
		return account.Identity{}, err
	}
	if !same || u.disabled {
		return account.Identity{}, refused()
	}
	return u.identity(""), nil
}

func (u *user) identity(token string) account.Identity {
	return account.Identity{ID: u.id, Name: u.name, Generation: u.generation, Token: token}
}

// Refresh proves who somebody is by a token's secret alone, as clients that hold
// an identity token do.
func (s *Service) Refresh(secret string, from netip.Addr) (account.Identity, error) {
	if t := s.state.Load().find(secret, s.now()); t != nil && !t.user.disabled {
		return s.signIn(t, "", from), nil
	}
	done, wait := s.guess.Try("", from)
	if wait > 0 {
		return account.Identity{}, tooMany(wait)
	}
	done(throttle.Wrong)
	return account.Identity{}, refused()
}

// Remember makes a token for a client that signed in with a password and asks
// for one to keep instead of it. purpose tells people which client that was.
func (s *Service) Remember(ctx context.Context, id account.Identity, purpose string) (secret string, err error) {
	if _, ok := s.state.Load().current(id, s.now()); !ok {
		return "", refused()
	}
	scopes := []account.Scope{{Resource: "*", Actions: account.All}}
	if id.Token != "" {
		return "", errs.New(errs.Invalid, "a token makes no other")
	}
	t, err := s.newToken(ctx, id.Name, account.TokenRequest{Name: clean(purpose), Scopes: scopes, Lifetime: loginLife}, &id)
	return t.Secret, err
}

// clean makes a line for people of what a client says.
func clean(s string) string {
	out := make([]byte, 0, maxPurpose)
	for i := 0; i < len(s) && len(out) < maxPurpose; i++ {
		if s[i] > ' ' && s[i] < 0x7f {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// current finds the user of an identity, and false where what it was proven with
// holds no more.
func (st *state) current(id account.Identity, now time.Time) (*user, bool) {
	u := st.users[id.ID]
	if u == nil || u.disabled || u.generation != id.Generation {
		return nil, false
	}
	if id.Token != "" {
		t := st.tokens[id.Token]
		if t == nil || t.user != u || t.over(now) {
			return nil, false
		}
	}
	return u, true
}

// Current reports whether what an identity was proven with still holds. The
// anonymous one always does.
func (s *Service) Current(id account.Identity) bool {
	if id.Anonymous() {
		return true
	}
	_, ok := s.state.Load().current(id, s.now())
	return ok
}

// comer is a name shown at an address.
type comer struct {
	name string
	from netip.Addr
}

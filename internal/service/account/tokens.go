package account

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/account"
	"lus/internal/store/sqlite"
)

// A token is written lus_ID_SECRET. The id finds it; of the secret, 256 random
// bits, only a hash is kept, which needs no salt and no slowness.
const (
	prefix   = "lus_"
	idLen    = 10 // random bytes
	secretLn = 32
)

// The bounds of a user's tokens. Those that clients get for a password push out
// their oldest.
const (
	mostTokens = 200
	mostLogins = 20
	mostScopes = 32
	maxPurpose = 100 // bytes
)

// loginLife is how long a client that signed in with a password stays so.
const loginLife = 90 * 24 * time.Hour

// Tokens returns the tokens of a user, or all where name is empty, the oldest
// first.
func (s *Service) Tokens(name string) ([]account.Token, error) {
	st := s.state.Load()
	if name != "" && st.names[name] == nil {
		return nil, notFound(name)
	}
	out := []account.Token{}
	for _, t := range st.tokens {
		if name == "" || t.User == name {
			w := t.Token
			if used, ok := s.used.last(t.ID); ok {
				w.Used = used
			}
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b account.Token) int {
		return cmp.Or(cmp.Compare(a.User, b.User), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// CreateToken makes a token of a user and tells its secret, this once.
func (s *Service) CreateToken(ctx context.Context, name string, r account.TokenRequest) (account.NewToken, error) {
	if len(r.Name) > maxPurpose || strings.ContainsFunc(r.Name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return account.NewToken{}, errs.New(errs.Invalid, "what a token is for is told in at most %d bytes on one line", maxPurpose)
	}
	if len(r.Scopes) > mostScopes {
		return account.NewToken{}, errs.New(errs.Invalid, "a token has at most %d scopes", mostScopes)
	}
	if r.Lifetime < 0 {
		return account.NewToken{}, errs.New(errs.Invalid, "a token cannot have ended before it begins")
	}
	if len(r.Scopes) == 0 {
		r.Scopes = []account.Scope{{Resource: "*", Actions: account.Read}}
	}
	return s.newToken(ctx, name, r, nil)
}

// newToken makes a token. With proven it is for who has just signed in so.
func (s *Service) newToken(ctx context.Context, name string, r account.TokenRequest, proven *account.Identity) (account.NewToken, error) {
	id, secret, login := random(idLen), random(secretLn), proven != nil
	t := account.NewToken{Secret: prefix + id + "_" + secret, Token: account.Token{
		ID: id, User: name, Name: r.Name, Scopes: r.Scopes, Created: s.now().UTC().Truncate(time.Second), Login: login,
	}}
	if r.Lifetime > 0 {
		t.Expires = s.now().Add(r.Lifetime).UTC().Truncate(time.Second)
	}
	scopes, err := json.Marshal(r.Scopes)
	if err != nil {
		return account.NewToken{}, err
	}
	hash := sha256.Sum256([]byte(t.Secret))
	err = s.write(ctx, func(tx *sql.Tx) error {
		owner, err := idOf(tx, name)
		if err != nil {
			return err
		}
		if err := still(tx, proven); err != nil {
			return err
		}
		if err := room(tx, owner, login, stamp(s.now())); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO account_tokens(id, user, name, hash, scopes, login, created, expires, turn)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(turn), 0) + 1 FROM account_tokens))`,
			id, owner, r.Name, hash[:], string(scopes), login, stamp(t.Created), stamp(t.Expires))
		return err
	})
	if err != nil {
		return account.NewToken{}, err
	}
	s.log.Info("a token was made", "user", name, "token", id, "login", login)
	return t, nil
}

// still checks that what somebody signed in with holds where a token is made for
// it: a new password that was set meanwhile has ended those that there were.
func still(tx *sql.Tx, proven *account.Identity) error {
	if proven == nil {
		return nil
	}
	var one int
	err := tx.QueryRow("SELECT 1 FROM account_users WHERE id = ? AND name = ? AND generation = ? AND NOT disabled",
		proven.ID, proven.Name, proven.Generation).Scan(&one)
	return row(err, refused())
}

// room makes room for one more token of a user, or tells that there is none.
func room(tx *sql.Tx, owner int64, login bool, now int64) error {
	if _, err := tx.Exec("DELETE FROM account_tokens WHERE user = ? AND expires > 0 AND expires <= ?", owner, now); err != nil {
		return err
	}
	if login {
		_, err := tx.Exec(`DELETE FROM account_tokens WHERE id IN (
			SELECT id FROM account_tokens WHERE user = ? AND login ORDER BY max(created, used) DESC, turn DESC LIMIT -1 OFFSET ?)`, owner, mostLogins-1)
		return err
	}
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM account_tokens WHERE user = ? AND NOT login", owner).Scan(&n); err != nil {
		return err
	}
	if n >= mostTokens {
		return errs.New(errs.Conflict, "the user has %d tokens already: remove some with `lus account token rm`", n)
	}
	return nil
}

// RemoveToken ends a token.
func (s *Service) RemoveToken(ctx context.Context, id string) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		r, err := tx.Exec("DELETE FROM account_tokens WHERE id = ?", id)
		if err != nil {
			return err
		}
		return removed(r, errs.New(errs.NotFound, "there is no token %q: `lus account token ls` lists them", id))
	})
	if err == nil {
		s.used.forget(id)
		s.log.Info("a token was removed", "token", id)
	}
	return err
}

// find returns the token that a secret is, or nil.
func (st *state) find(secret string, now time.Time) *token {
	rest, ok := strings.CutPrefix(secret, prefix)
	id, _, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || len(secret) > 200 {
		return nil
	}
	hash := sha256.Sum256([]byte(secret))
	t := st.tokens[id]
	if t == nil || subtle.ConstantTimeCompare(hash[:], t.hash) != 1 || t.over(now) {
		return nil
	}
	return t
}

// random is so many random bytes in lower-case letters and digits.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// usage is when tokens were used, until it is written down.
type usage struct {
	mu  sync.Mutex
	ids map[string]time.Time
}

func (u *usage) note(id string, when time.Time) {
	if id == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids == nil {
		u.ids = map[string]time.Time{}
	}
	u.ids[id] = when.UTC().Truncate(time.Second)
}

func (u *usage) last(id string) (time.Time, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t, ok := u.ids[id]
	return t, ok
}

func (u *usage) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.ids, id)
}

func (u *usage) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	ids := u.ids
	u.ids = nil
	return ids
}

// flush writes down when tokens were used. It need not survive the power.
func (s *Service) flush(ctx context.Context) {
	ids := s.used.take()
	if len(ids) == 0 {
		return
	}
	s.change.Lock()
	defer s.change.Unlock()
	err := s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		for id, when := range ids {
			if _, err := tx.Exec("UPDATE account_tokens SET used = ? WHERE id = ?", stamp(when), id); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = s.reload(ctx)
	}
	if err != nil {
		s.log.Warn("when tokens were used cannot be written down", "error", err)
	}
}

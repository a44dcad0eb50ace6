package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"lus/internal/model/account"
)

// state is all records at one moment, as decisions need them. It is replaced
// and never changed.
type state struct {
	users  map[int64]*user
	names  map[string]*user
	tokens map[string]*token
	rules  []rule
	// granted are the rules by whom they are about: an id, or one of the words.
	granted map[any][]account.Scope
}

type user struct {
	id         int64
	name       string
	hash       string
	admin      bool
	disabled   bool
	generation int64
	created    time.Time
	tokens     int
}

func (u *user) word() account.User {
	return account.User{Name: u.name, Admin: u.admin, Disabled: u.disabled, Password: u.hash != "", Created: u.created, Tokens: u.tokens}
}

type token struct {
	account.Token
	user *user
	hash []byte
}

// over reports whether the token's time is up.
func (t *token) over(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

type rule struct {
	user *user // nil: others
	account.Rule
}

// reload takes a look at the records.
func (s *Service) reload(ctx context.Context) error {
	st := &state{users: map[int64]*user{}, names: map[string]*user{}, tokens: map[string]*token{}, granted: map[any][]account.Scope{}}
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		for _, read := range []func(context.Context, *sql.Tx) error{st.readUsers, st.readTokens, st.readRules} {
			if err := read(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.state.Store(st)
	return nil
}

func (st *state) readUsers(ctx context.Context, tx *sql.Tx) error {
	return each(ctx, tx, "SELECT id, name, password, admin, disabled, generation, created FROM account_users", func(rows *sql.Rows) error {
		u := &user{}
		var created int64
		if err := rows.Scan(&u.id, &u.name, &u.hash, &u.admin, &u.disabled, &u.generation, &created); err != nil {
			return err
		}
		u.created = moment(created)
		st.users[u.id], st.names[u.name] = u, u
		return nil
	})
}

func (st *state) readTokens(ctx context.Context, tx *sql.Tx) error {
	return each(ctx, tx, "SELECT id, user, name, hash, scopes, login, created, expires, used FROM account_tokens", func(rows *sql.Rows) error {
		t := &token{}
		var owner, created, expires, used int64
		var scopes string
		if err := rows.Scan(&t.ID, &owner, &t.Name, &t.hash, &scopes, &t.Login, &created, &expires, &used); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(scopes), &t.Scopes); err != nil {
			return fmt.Errorf("the scopes of token %s: %w", t.ID, err)
		}
		t.Created, t.Expires, t.Used = moment(created), moment(expires), moment(used)
		t.user = st.users[owner]
		t.User = t.user.name // the table has a foreign key
		t.user.tokens++
		st.tokens[t.ID] = t
		return nil
	})
}

func (st *state) readRules(ctx context.Context, tx *sql.Tx) error {
	return each(ctx, tx, "SELECT user, others, resource, actions FROM account_rules", func(rows *sql.Rows) error {
		r := rule{}
		var id sql.NullInt64
		if err := rows.Scan(&id, &r.Who, &r.Resource, &r.Actions); err != nil {
			return err
		}
		key := any(r.Who)
		if id.Valid {
			r.user = st.users[id.Int64]
			r.Who, key = r.user.name, id.Int64
		}
		st.rules = append(st.rules, r)
		st.granted[key] = append(st.granted[key], account.Scope{Resource: r.Resource, Actions: r.Actions})
		return nil
	})
}

func each(ctx context.Context, tx *sql.Tx, query string, row func(*sql.Rows) error) error {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// moment reads a time of the records; stamp writes one.
func moment(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

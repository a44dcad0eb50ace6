package account

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"lus/internal/base/errs"
	"lus/internal/model/account"
)

// mostUsers bounds the users, all of whom are held in memory.
const mostUsers = 100_000

// List returns all users by name.
func (s *Service) List() []account.User {
	st := s.state.Load()
	out := make([]account.User, 0, len(st.users))
	for _, u := range st.users {
		out = append(out, u.word())
	}
	slices.SortFunc(out, func(a, b account.User) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Get returns one user.
func (s *Service) Get(name string) (account.User, error) {
	u := s.state.Load().names[name]
	if u == nil {
		return account.User{}, notFound(name)
	}
	return u.word(), nil
}

// Create makes a user. A name that was another's is not given away unasked: what
// lies below it would come with it.
func (s *Service) Create(ctx context.Context, n account.NewUser) (account.User, error) {
	if _, err := account.ParseUser(n.Name); err != nil {
		return account.User{}, err
	}
	hash := ""
	if n.Password != "" {
		var err error
		if hash, err = s.hasher.Hash(ctx, n.Password); err != nil {
			return account.User{}, err
		}
	}
	if len(s.state.Load().users) >= mostUsers {
		return account.User{}, errs.New(errs.Conflict, "there are %d users already, and no room for more", mostUsers)
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		if err := free(tx, n.Name, n.TakeOver); err != nil {
			return err
		}
		// Until now this host could do without users.
		if _, err := tx.Exec("DELETE FROM account_rules WHERE initial"); err != nil {
			return err
		}
		_, err := tx.Exec("INSERT INTO account_users(name, password, admin, disabled, created) VALUES(?, ?, ?, 0, ?)", n.Name, hash, n.Admin, stamp(s.now()))
		return err
	})
	if err != nil {
		return account.User{}, err
	}
	s.log.Info("a user was made", "user", n.Name, "admin", n.Admin)
	return s.Get(n.Name)
}

// free checks that nobody has the name, nor had it, and lets it be taken.
func free(tx *sql.Tx, name string, takeOver bool) error {
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM account_users WHERE name = ?", name).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return errs.New(errs.Conflict, "there is a user %q already", name)
	}
	if takeOver {
		_, err := tx.Exec("DELETE FROM account_retired WHERE name = ?", name)
		return err
	}
	var since int64
	err := tx.QueryRow("SELECT since FROM account_retired WHERE name = ?", name).Scan(&since)
	if err == nil {
		return errs.New(errs.Conflict, "the name %q was in use until %s, and what lies below %s/ would be this user's: choose another, or allow that with --take-over", name, moment(since).Format("2006-01-02"), name)
	}
	return row(err, nil)
}

// retire keeps a name from being given away unasked.
func (s *Service) retire(tx *sql.Tx, name string) error {
	_, err := tx.Exec("INSERT OR REPLACE INTO account_retired(name, since) VALUES(?, ?)", name, stamp(s.now()))
	return err
}

// Remove removes a user with all tokens and rules. What lies below the name
// stays, and is the admins' alone.
func (s *Service) Remove(ctx context.Context, name string) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		id, err := idOf(tx, name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM account_users WHERE id = ?", id); err != nil {
			return err
		}
		return s.retire(tx, name)
	})
	if err == nil {
		s.log.Info("a user was removed", "user", name)
	}
	return err
}

func idOf(tx *sql.Tx, name string) (id int64, err error) {
	err = tx.QueryRow("SELECT id FROM account_users WHERE name = ?", name).Scan(&id)
	return id, row(err, notFound(name))
}

// Change changes a user. Whatever is changed ends what was proven before: bearer
// tokens are issued anew, and a new password ends what clients got for the old.
// A new name ends every token, since tokens are shown together with a name.
func (s *Service) Change(ctx context.Context, name string, c account.Changes) (account.User, error) {
	hash := ""
	if c.Password != nil {
		var err error
		if hash, err = s.hasher.Hash(ctx, *c.Password); err != nil {
			return account.User{}, err
		}
	}
	if c.Name != nil {
		if _, err := account.ParseUser(*c.Name); err != nil {
			return account.User{}, err
		}
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		id, err := idOf(tx, name)
		if err != nil {
			return err
		}
		if c.Name != nil && *c.Name != name {
			if err := s.rename(tx, id, name, *c.Name, c.TakeOver); err != nil {
				return err
			}
		}
		if hash != "" {
			if _, err := tx.Exec("DELETE FROM account_tokens WHERE user = ? AND login", id); err != nil {
				return err
			}
		}
		_, err = tx.Exec(`UPDATE account_users SET generation = generation + 1,
			password = coalesce(nullif(?, ''), password), admin = coalesce(?, admin), disabled = coalesce(?, disabled) WHERE id = ?`,
			hash, c.Admin, c.Disabled, id)
		return err
	})
	if err != nil {
		return account.User{}, err
	}
	if c.Name != nil {
		name = *c.Name
	}
	s.log.Info("a user was changed", "user", name)
	return s.Get(name)
}

func (s *Service) rename(tx *sql.Tx, id int64, from, to string, takeOver bool) error {
	if err := free(tx, to, takeOver); err != nil {
		return err
	}
	if _, err := tx.Exec("UPDATE account_users SET name = ? WHERE id = ?", to, id); err != nil {
		return err
	}
	if _, err := tx.Exec("DELETE FROM account_tokens WHERE user = ?", id); err != nil {
		return err
	}
	return s.retire(tx, from)
}

package account

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"lus/internal/base/errs"
	"lus/internal/model/account"
)

// mostRules bounds the rules, all of which are held in memory.
const mostRules = 100_000

// Rules returns the rules, by resource.
func (s *Service) Rules() []account.Rule {
	st := s.state.Load()
	out := make([]account.Rule, 0, len(st.rules))
	for _, r := range st.rules {
		out = append(out, r.Rule)
	}
	slices.SortFunc(out, func(a, b account.Rule) int {
		return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Who, b.Who))
	})
	return out
}

// Grant makes a rule, in place of the one there is for the same people and the
// same resource.
func (s *Service) Grant(ctx context.Context, r account.Rule) error {
	if err := check(r); err != nil {
		return err
	}
	if len(s.state.Load().rules) >= mostRules {
		return errs.New(errs.Conflict, "there are %d rules already, and no room for more", mostRules)
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		user, others, err := who(tx, r.Who)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO account_rules(user, others, resource, actions) VALUES(?, ?, ?, ?)
			ON CONFLICT(coalesce(user, 0), others, resource) DO UPDATE SET actions = excluded.actions, initial = 0`,
			user, others, string(r.Resource), int64(r.Actions))
		return err
	})
	if err == nil {
		s.log.Info("a rule was made", "who", r.Who, "resource", string(r.Resource), "actions", r.Actions.String())
	}
	return err
}

// Revoke takes the rule for these people and this resource back.
func (s *Service) Revoke(ctx context.Context, whom string, resource account.Pattern) error {
	if err := check(account.Rule{Who: whom, Resource: resource, Actions: account.Read}); err != nil {
		return err
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		user, others, err := who(tx, whom)
		if err != nil {
			return err
		}
		r, err := tx.Exec("DELETE FROM account_rules WHERE coalesce(user, 0) = coalesce(?, 0) AND others = ? AND resource = ?", user, others, string(resource))
		if err != nil {
			return err
		}
		return removed(r, errs.New(errs.NotFound, "no rule is about %s and %s: `lus account rules` lists them", whom, resource))
	})
	if err == nil {
		s.log.Info("a rule was taken back", "who", whom, "resource", string(resource))
	}
	return err
}

func check(r account.Rule) error {
	if _, err := account.ParseWho(r.Who); err != nil {
		return err
	}
	if _, err := account.ParsePattern(string(r.Resource)); err != nil {
		return err
	}
	if r.Actions == 0 || r.Actions&^account.All != 0 {
		return errs.New(errs.Invalid, "a rule needs actions: read, write or delete")
	}
	return nil
}

// who finds whom a rule is about: a user's id, or a word for more than one.
func who(tx *sql.Tx, name string) (user sql.NullInt64, others string, err error) {
	if account.Many(name) {
		return user, name, nil
	}
	id, err := idOf(tx, name)
	return sql.NullInt64{Int64: id, Valid: err == nil}, "", err
}

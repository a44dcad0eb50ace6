package registry

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
	"lus/internal/store/sqlite"
)

// each is the scope of a quota that holds for every account without its own.
const each = "*"

// under is a condition on r.name: the repository ?1 and all below it.
const under = "(r.name = ?1 OR r.name >= ?1 || '/' AND r.name < ?1 || '0')" // 0 follows / in ASCII

// usage is how many bytes are linked below a scope, each digest once.
func usage(tx *sql.Tx, scope string) (n int64, err error) {
	err = tx.QueryRow(`SELECT coalesce(sum(size), 0) FROM (
		SELECT b.digest, b.size FROM registry_blobs b JOIN registry_repositories r ON r.id = b.repository WHERE `+under+`
		UNION SELECT m.digest, m.size FROM registry_manifests m JOIN registry_repositories r ON r.id = m.repository WHERE `+under+`)`, scope).Scan(&n)
	return n, err
}

// quotas are the limits that hold for a repository, by scope: its own, those of
// what it lies below, and the one of each account where its account has none.
func quotas(tx *sql.Tx, repository string) (map[string]int64, error) {
	rows, err := tx.Query("SELECT scope, bytes FROM registry_quotas")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	account, _, _ := strings.Cut(repository, "/")
	out := map[string]int64{}
	every, has := int64(0), false
	for rows.Next() {
		var scope string
		var limit int64
		if err := rows.Scan(&scope, &limit); err != nil {
			return nil, err
		}
		switch {
		case scope == each:
			every, has = limit, true
		case scope == repository || strings.HasPrefix(repository, scope+"/"):
			out[scope] = limit
		}
	}
	if _, own := out[account]; has && !own {
		out[account] = every
	}
	return out, rows.Err()
}

// room bounds one blob by the quotas of its repository. What is used already does
// not count here: the blob may be there already, and then costs nothing.
func (s *Service) room(ctx context.Context, repository string) (most int64, err error) {
	most = math.MaxInt64 / 2
	err = s.db.Read(ctx, func(tx *sql.Tx) error {
		limits, err := quotas(tx, repository)
		for _, limit := range limits {
			most = min(most, limit)
		}
		return err
	})
	return most, err
}

// quotaKept refuses what a transaction has added, where that is too much.
func quotaKept(tx *sql.Tx, repository string) error {
	limits, err := quotas(tx, repository)
	if err != nil {
		return err
	}
	for scope, limit := range limits {
		used, err := usage(tx, scope)
		if err != nil {
			return err
		}
		if used > limit {
			return overQuota(scope)
		}
	}
	return nil
}

func overQuota(scope string) error {
	return registry.Fail(errs.Denied, registry.Denied, "the quota of %s is used up: delete what is not needed and collect garbage (lus registry gc), or have it raised (lus registry quota)", scope)
}

// Quotas lists the quotas and what is used of each. That of each account has no
// use of its own.
func (s *Service) Quotas(ctx context.Context) ([]registry.Quota, error) {
	out := []registry.Quota{}
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		scopes, err := strs(tx, "SELECT scope FROM registry_quotas ORDER BY scope")
		if err != nil {
			return err
		}
		for _, scope := range scopes {
			q := registry.Quota{Scope: scope}
			if err := tx.QueryRow("SELECT bytes FROM registry_quotas WHERE scope = ?", scope).Scan(&q.Limit); err != nil {
				return err
			}
			if scope != each {
				if q.Used, err = usage(tx, scope); err != nil {
					return err
				}
			}
			out = append(out, q)
		}
		return nil
	})
	return out, err
}

// SetQuota bounds a repository and all below its name, or each account; below
// zero takes the bound away. What is there already stays.
func (s *Service) SetQuota(ctx context.Context, scope string, limit int64) error {
	if scope != each {
		if err := registry.CheckName(scope); err != nil {
			return errs.New(errs.Invalid, "a quota is for a repository, for an account (the first part of a repository's name) or for each account (*), not for %q", scope)
		}
	}
	return s.db.Write(ctx, sqlite.Power, func(tx *sql.Tx) error {
		if limit >= 0 {
			_, err := tx.Exec("INSERT INTO registry_quotas(scope, bytes) VALUES(?, ?) ON CONFLICT DO UPDATE SET bytes = excluded.bytes", scope, limit)
			return err
		}
		r, err := tx.Exec("DELETE FROM registry_quotas WHERE scope = ?", scope)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errOr(err, errs.New(errs.NotFound, "there is no quota for %s", scope))
		}
		return nil
	})
}

// single reads one text, empty where there is no row.
func single(tx *sql.Tx, query string, args ...any) (text string, err error) {
	err = tx.QueryRow(query, args...).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return text, err
}

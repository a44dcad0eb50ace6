package registry

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
	"lus/internal/service/registry/internal/upstream"
	"lus/internal/store/sqlite"
)

// restAfter is how long a registry that does not answer is not asked again, so
// that what is here comes at once.
const restAfter = 15 * time.Second

// upstreams are the other registries that repositories are fetched from.
type upstreams struct {
	loading sync.Mutex // from reading the rows to having their list, so that the last is the newest

	mu     sync.Mutex
	list   map[string]*source // by prefix
	flight singleflight.Group // what is being fetched: each thing once
	blobs  map[string]*coming // and blobs, by repository and digest

	ctx    context.Context // ends with the service
	cancel context.CancelFunc
	group  sync.WaitGroup
}

// begin counts one more fetch, unless the service ends.
func (u *upstreams) begin() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ctx.Err() != nil {
		return errs.New(errs.Unavailable, "the registry is stopping: try again when it is back")
	}
	u.group.Add(1)
	return nil
}

// end breaks off what is being fetched and returns once nothing is.
func (u *upstreams) end() {
	u.mu.Lock()
	u.cancel()
	u.mu.Unlock()
	u.group.Wait()
}

// source is one of them.
type source struct {
	registry.Upstream
	*upstream.Registry
	mu   sync.Mutex
	down time.Time // it did not answer then
	why  error     // and this is how
}

// resting is why a registry is left alone for a while; nil: it is not.
func (u *source) resting(now time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now.Sub(u.down) < restAfter {
		return fmt.Errorf("a moment ago: %w", u.why)
	}
	return nil
}

func (u *source) failed(now time.Time, why error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.down, u.why = now, why
}

// loadUpstreams reads the rows into memory.
func (s *Service) loadUpstreams(ctx context.Context) error {
	s.upstreams.loading.Lock()
	defer s.upstreams.loading.Unlock()
	list, err := s.upstreamRows(ctx)
	if err != nil {
		return err
	}
	byPrefix := map[string]*source{}
	for _, m := range list {
		r, err := upstream.New(m, s.transport)
		if err != nil {
			return err
		}
		byPrefix[m.Prefix] = &source{Upstream: m, Registry: r}
	}
	s.upstreams.mu.Lock()
	s.upstreams.list = byPrefix
	s.upstreams.mu.Unlock()
	return nil
}

func (s *Service) upstreamRows(ctx context.Context) (out []registry.Upstream, err error) {
	err = s.db.Read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.Query("SELECT prefix, url, username, password FROM registry_upstreams ORDER BY prefix")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var m registry.Upstream
			if err := rows.Scan(&m.Prefix, &m.URL, &m.Username, &m.Password); err != nil {
				return err
			}
			out = append(out, m)
		}
		return rows.Err()
	})
	return out, err
}

// Upstreams lists the registries that repositories are fetched from, without
// their passwords.
func (s *Service) Upstreams(ctx context.Context) ([]registry.Upstream, error) {
	list, err := s.upstreamRows(ctx)
	if list == nil {
		list = []registry.Upstream{}
	}
	for i := range list {
		list[i].Password = ""
	}
	return list, err
}

// SetUpstream has the repositories below a prefix fetched from another registry;
// an empty prefix stands for all that nobody pushed here.
func (s *Service) SetUpstream(ctx context.Context, m registry.Upstream) error {
	if m.Prefix != "" {
		if err := registry.CheckName(m.Prefix); err != nil {
			return err
		}
	}
	if err := upstream.Check(m.URL); err != nil {
		return err
	}
	m.URL = strings.TrimSuffix(m.URL, "/")
	err := s.db.Write(ctx, sqlite.Power, func(tx *sql.Tx) error {
		if m.Prefix != "" {
			pushed, err := single(tx, "SELECT r.name FROM registry_repositories r WHERE r.upstream = '' AND "+under+" LIMIT 1", m.Prefix)
			if err != nil {
				return err
			}
			if pushed != "" {
				return errs.New(errs.Conflict, "%s was pushed here: what is below %s cannot be fetched from elsewhere as well; choose another prefix, or remove it first", pushed, m.Prefix)
			}
		}
		_, err := tx.Exec(`INSERT INTO registry_upstreams(prefix, url, username, password) VALUES(?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET url = excluded.url, username = excluded.username, password = excluded.password`, m.Prefix, m.URL, m.Username, m.Password)
		return err
	})
	if err != nil {
		return err
	}
	return s.loadUpstreams(ctx)
}

// RemoveUpstream ends the fetching below a prefix. What was fetched stays, as if
// it had been pushed.
func (s *Service) RemoveUpstream(ctx context.Context, prefix string) error {
	err := s.db.Write(ctx, sqlite.Power, func(tx *sql.Tx) error {
		r, err := tx.Exec("DELETE FROM registry_upstreams WHERE prefix = ?", prefix)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errOr(err, errs.New(errs.NotFound, "nothing is fetched from elsewhere for the prefix %q", prefix))
		}
		if prefix == "" {
			_, err = tx.Exec("UPDATE registry_repositories SET upstream = '' WHERE upstream = '/'")
		} else {
			_, err = tx.Exec("UPDATE registry_repositories AS r SET upstream = '' WHERE "+under, prefix)
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.loadUpstreams(ctx)
}

// from finds where a repository is fetched from, and what it is called there.
// The longest prefix decides; nil: it is our own.
func (s *Service) from(ctx context.Context, repository string) (*source, string, error) {
	s.upstreams.mu.Lock()
	defer s.upstreams.mu.Unlock()
	if len(s.upstreams.list) == 0 {
		return nil, "", nil
	}
	for prefix := repository; prefix != ""; {
		if src := s.upstreams.list[prefix]; src != nil && prefix != repository {
			return src, strings.TrimPrefix(repository, prefix+"/"), nil
		}
		i := strings.LastIndexByte(prefix, '/')
		prefix = prefix[:max(i, 0)]
	}
	src := s.upstreams.list[""]
	if src == nil {
		return nil, "", nil
	}
	// Of all repositories those are meant that nobody pushed here.
	var pushed bool
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		return tx.QueryRow("SELECT EXISTS (SELECT 1 FROM registry_repositories WHERE name = ? AND upstream = '')", repository).Scan(&pushed)
	})
	if pushed || err != nil {
		return nil, "", err
	}
	return src, repository, nil
}

// ours refuses to write into what is fetched from elsewhere.
func (s *Service) ours(ctx context.Context, repository string) error {
	src, _, err := s.from(ctx, repository)
	if err != nil || src == nil {
		return err
	}
	if src.Prefix == "" {
		var fetched bool
		err := s.db.Read(ctx, func(tx *sql.Tx) error {
			return tx.QueryRow("SELECT EXISTS (SELECT 1 FROM registry_repositories WHERE name = ?)", repository).Scan(&fetched)
		})
		if err != nil || !fetched {
			return err // new, and our own from now on
		}
	}
	return registry.Fail(errs.Denied, registry.Denied, "%s is fetched from %s and cannot be pushed to: choose another name", repository, src.URL)
}

// mark is what a repository's row says about where it came from.
func (u *source) mark() string {
	if u == nil {
		return ""
	}
	return u.Prefix + "/"
}

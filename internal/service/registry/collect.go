package registry

import (
	"context"
	"database/sql"
	"time"

	"github.com/opencontainers/go-digest"

	"lus/internal/store/sqlite"

	model "lus/internal/model/registry"
)

// sweepEvery is how often the registry looks for what nothing holds.
const sweepEvery = 10 * time.Minute

// Run collects garbage now and then until ctx ends, and then ends what is being
// fetched.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	defer s.upstreams.end()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, err := s.collect(ctx, s.limits.Grace, false); err != nil && ctx.Err() == nil {
			s.log.Warn("collecting what the registry does not need", "error", err)
		}
	}
}

// Collect removes what nothing names: uploads that stand still, blobs that no
// manifest has named for the time of grace, and, where asked, manifests without
// a tag, an index or a subject that keeps them. Requests go on meanwhile.
func (s *Service) Collect(ctx context.Context, grace time.Duration, untagged bool) (model.Collected, error) {
	return s.collect(ctx, grace, untagged)
}

func (s *Service) collect(ctx context.Context, grace time.Duration, untagged bool) (c model.Collected, err error) {
	c.Uploads = s.expire(ctx)
	before := s.now().Add(-grace).Unix()
	err = s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		if untagged {
			if c.Manifests, err = dropUntagged(tx, before); err != nil {
				return err
			}
		}
		return unlink(tx, before)
	})
	if err != nil {
		return c, err
	}
	if c.Blobs, c.Bytes, err = s.letGo(ctx); err != nil || c.Blobs == 0 {
		return c, err
	}
	_, err = s.store.GarbageCollect(ctx)
	return c, err
}

// dropUntagged removes manifests that no tag, no index and no subject in the
// repository keeps, until there is none.
func dropUntagged(tx *sql.Tx, before int64) (n int, err error) {
	for {
		r, err := tx.Exec(`DELETE FROM registry_manifests AS m WHERE m.pushed <= ?
			AND NOT EXISTS (SELECT 1 FROM registry_tags t WHERE t.repository = m.repository AND t.digest = m.digest)
			AND NOT EXISTS (SELECT 1 FROM registry_refs f WHERE f.repository = m.repository AND f.target = m.digest)
			AND NOT EXISTS (SELECT 1 FROM registry_manifests s WHERE s.repository = m.repository AND s.digest = m.subject)`, before)
		if err != nil {
			return n, err
		}
		some, err := r.RowsAffected()
		if err != nil || some == 0 {
			return n, err
		}
		n += int(some)
	}
}

// unlink removes blobs that no manifest names, and repositories with nothing in them.
func unlink(tx *sql.Tx, before int64) error {
	if _, err := tx.Exec(`DELETE FROM registry_blobs AS b WHERE b.touched <= ?
		AND NOT EXISTS (SELECT 1 FROM registry_refs f WHERE f.repository = b.repository AND f.target = b.digest)`, before); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM registry_repositories AS r WHERE r.created <= ?
		AND NOT EXISTS (SELECT 1 FROM registry_blobs b WHERE b.repository = r.id)
		AND NOT EXISTS (SELECT 1 FROM registry_manifests m WHERE m.repository = r.id)`, before)
	return err
}

// letGo drops the hold on digests that no repository links. What happens at the
// same time is either seen whole or waits.
func (s *Service) letGo(ctx context.Context) (n int, bytes int64, err error) {
	s.gate.Lock()
	defer s.gate.Unlock()
	var linked []string
	err = s.db.Read(ctx, func(tx *sql.Tx) (err error) {
		linked, err = strs(tx, "SELECT digest FROM registry_blobs UNION SELECT digest FROM registry_manifests")
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	keep := make(map[digest.Digest]bool, len(linked))
	for _, d := range linked {
		keep[digest.Digest(d)] = true
	}
	held, err := s.store.Held(ctx, hold)
	if err != nil {
		return 0, 0, err
	}
	var drop []digest.Digest
	for _, d := range held {
		if keep[d] {
			continue
		}
		if size, err := s.store.Size(ctx, d); err == nil {
			bytes += size
		}
		drop = append(drop, d)
	}
	return len(drop), bytes, s.store.Drop(ctx, hold, drop...)
}

// reconcile brings rows and holds into agreement after a start. A blob that rows
// link and the store has lost is told at each request for it.
func (s *Service) reconcile(ctx context.Context) error {
	_, _, err := s.letGo(ctx)
	return err
}

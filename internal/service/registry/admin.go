package registry

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
	"lus/internal/store/sqlite"
)

// Status counts what is kept.
func (s *Service) Status(ctx context.Context) (*registry.Status, error) {
	st := new(registry.Status)
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		return tx.QueryRow(`SELECT (SELECT count(*) FROM registry_repositories), (SELECT count(*) FROM registry_tags), count(*), coalesce(sum(size), 0)
			FROM (SELECT digest, size FROM registry_blobs UNION SELECT digest, size FROM registry_manifests)`).Scan(&st.Repositories, &st.Tags, &st.Blobs, &st.Size)
	})
	if err != nil {
		return nil, err
	}
	s.uploads.mu.Lock()
	st.Uploads = len(s.uploads.list)
	s.uploads.mu.Unlock()
	return st, nil
}

// Held lists the blobs that the registry keeps in the store, whoever else does.
func (s *Service) Held(ctx context.Context) ([]digest.Digest, error) { return s.store.Held(ctx, hold) }

// List lists all repositories.
func (s *Service) List(ctx context.Context) ([]registry.Repository, error) {
	out := []registry.Repository{}
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.Query(`SELECT r.name,
			(SELECT count(*) FROM registry_tags t WHERE t.repository = r.id),
			(SELECT coalesce(sum(size), 0) FROM (SELECT digest, size FROM registry_blobs b WHERE b.repository = r.id UNION SELECT digest, size FROM registry_manifests m WHERE m.repository = r.id)),
			coalesce((SELECT max(pushed) FROM registry_manifests m WHERE m.repository = r.id), r.created), r.upstream <> ''
			FROM registry_repositories r ORDER BY r.name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r registry.Repository
			var at int64
			if err := rows.Scan(&r.Name, &r.Tags, &r.Size, &at, &r.Cached); err != nil {
				return err
			}
			r.Updated = time.Unix(at, 0).UTC()
			out = append(out, r)
		}
		return rows.Err()
	})
	return out, err
}

// ListTags lists the tags of a repository, each with the bytes of all that it
// needs: manifests, configs and layers, each digest once.
func (s *Service) ListTags(ctx context.Context, repository string) ([]registry.Tag, error) {
	out := []registry.Tag{}
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		id, err := repositoryID(tx, repository)
		if err != nil {
			return err
		}
		if id == none {
			return errs.New(errs.NotFound, "there is no repository %s", repository)
		}
		rows, err := tx.Query(`SELECT t.name, t.digest, m.media_type, t.updated, (
			WITH RECURSIVE need(digest) AS (SELECT t.digest UNION SELECT f.target FROM need JOIN registry_refs f ON f.repository = ?1 AND f.manifest = need.digest)
			SELECT coalesce(sum(size), 0) FROM (
				SELECT b.digest, b.size FROM need JOIN registry_blobs b ON b.repository = ?1 AND b.digest = need.digest
				UNION SELECT m.digest, m.size FROM need JOIN registry_manifests m ON m.repository = ?1 AND m.digest = need.digest))
			FROM registry_tags t JOIN registry_manifests m ON m.repository = t.repository AND m.digest = t.digest WHERE t.repository = ?1 ORDER BY t.name`, id)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var t registry.Tag
			var at int64
			if err := rows.Scan(&t.Name, &t.Digest, &t.MediaType, &at, &t.Size); err != nil {
				return err
			}
			t.Updated = time.Unix(at, 0).UTC()
			out = append(out, t)
		}
		return rows.Err()
	})
	return out, err
}

// Remove removes a repository, or one tag or digest of it. Its bytes go with the
// next collection.
func (s *Service) Remove(ctx context.Context, repository, ref string) error {
	if ref != "" {
		err := s.DeleteManifest(ctx, registry.Who{Root: true}, repository, ref)
		var code registry.Code
		if errors.As(err, &code) && code == registry.NameUnknown {
			return errs.New(errs.NotFound, "there is no repository %s", repository)
		}
		return err
	}
	return s.db.Write(ctx, sqlite.Power, func(tx *sql.Tx) error {
		r, err := tx.Exec("DELETE FROM registry_repositories WHERE name = ?", repository)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		if err == nil && n == 0 {
			err = errs.New(errs.NotFound, "there is no repository %s", repository)
		}
		return err
	})
}

package registry

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
	"lus/internal/store/sqlite"
)

// Migrations are the registry's tables. Times are unix seconds, sizes bytes. A
// row of registry_blobs or registry_manifests makes a digest visible in its
// repository; registry_refs are what a manifest names.
func Migrations() []sqlite.Migration {
	return []sqlite.Migration{{Name: "registry 1: repositories, links, tags", SQL: `
		CREATE TABLE registry_repositories(
			id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL) STRICT;
		CREATE TABLE registry_blobs(
			repository INTEGER NOT NULL REFERENCES registry_repositories(id) ON DELETE CASCADE,
			digest TEXT NOT NULL, size INTEGER NOT NULL, touched INTEGER NOT NULL,
			PRIMARY KEY(repository, digest)) STRICT, WITHOUT ROWID;
		CREATE INDEX registry_blobs_digest ON registry_blobs(digest);
		CREATE TABLE registry_manifests(
			repository INTEGER NOT NULL REFERENCES registry_repositories(id) ON DELETE CASCADE,
			digest TEXT NOT NULL, size INTEGER NOT NULL, pushed INTEGER NOT NULL, media_type TEXT NOT NULL,
			artifact_type TEXT NOT NULL, subject TEXT NOT NULL, annotations TEXT NOT NULL,
			PRIMARY KEY(repository, digest)) STRICT, WITHOUT ROWID;
		CREATE INDEX registry_manifests_digest ON registry_manifests(digest);
		CREATE INDEX registry_manifests_subject ON registry_manifests(repository, subject) WHERE subject <> '';
		CREATE TABLE registry_refs(
			repository INTEGER NOT NULL, manifest TEXT NOT NULL, target TEXT NOT NULL,
			PRIMARY KEY(repository, manifest, target),
			FOREIGN KEY(repository, manifest) REFERENCES registry_manifests(repository, digest) ON DELETE CASCADE) STRICT, WITHOUT ROWID;
		CREATE INDEX registry_refs_target ON registry_refs(repository, target);
		CREATE TABLE registry_tags(
			repository INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, updated INTEGER NOT NULL,
			PRIMARY KEY(repository, name),
			FOREIGN KEY(repository, digest) REFERENCES registry_manifests(repository, digest) ON DELETE CASCADE) STRICT, WITHOUT ROWID;
		CREATE INDEX registry_tags_digest ON registry_tags(repository, digest);
		CREATE TABLE registry_settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;`},
		// upstream is empty for what was pushed here, else the prefix and a slash.
		{Name: "registry 2: quotas, other registries", SQL: `
		CREATE TABLE registry_quotas(scope TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
		CREATE TABLE registry_upstreams(prefix TEXT PRIMARY KEY, url TEXT NOT NULL, username TEXT NOT NULL, password TEXT NOT NULL) STRICT, WITHOUT ROWID;
		ALTER TABLE registry_repositories ADD COLUMN upstream TEXT NOT NULL DEFAULT '';`},
		{Name: "registry 3: uploads that outlive the process", SQL: `
		CREATE TABLE registry_uploads(id TEXT PRIMARY KEY, repository TEXT NOT NULL) STRICT, WITHOUT ROWID;`}}
}

// none is the id of a repository that does not exist.
const none int64 = 0

// repositoryID finds a repository; none where there is none.
func repositoryID(tx *sql.Tx, name string) (id int64, err error) {
	err = tx.QueryRow("SELECT id FROM registry_repositories WHERE name = ?", name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return none, nil
	}
	return id, err
}

// ensureRepository finds or makes a repository.
func ensureRepository(tx *sql.Tx, name string, now time.Time) (int64, error) {
	id, err := repositoryID(tx, name)
	if err != nil || id != none {
		return id, err
	}
	r, err := tx.Exec("INSERT INTO registry_repositories(name, created) VALUES(?, ?)", name, now.Unix())
	if err != nil {
		return none, err
	}
	return r.LastInsertId()
}

// link makes a blob visible in a repository, as far as its quotas allow.
func (s *Service) link(tx *sql.Tx, repository string, digest string, size int64) error {
	id, err := ensureRepository(tx, repository, s.now())
	if err != nil {
		return err
	}
	r, err := tx.Exec("UPDATE registry_blobs SET touched = ? WHERE repository = ? AND digest = ?", s.now().Unix(), id, digest)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return err // it was there
	}
	if _, err := tx.Exec("INSERT INTO registry_blobs(repository, digest, size, touched) VALUES(?, ?, ?, ?)", id, digest, size, s.now().Unix()); err != nil {
		return err
	}
	return quotaKept(tx, repository)
}

// linked returns the size of a blob of a repository, or BLOB_UNKNOWN.
func (s *Service) linked(ctx context.Context, repository, digest string) (size int64, err error) {
	var touched int64
	err = s.db.Read(ctx, func(tx *sql.Tx) error {
		// A manifest may be asked for as a blob, too: it is one.
		return tx.QueryRow(`SELECT size, touched FROM registry_blobs b JOIN registry_repositories r ON r.id = b.repository WHERE r.name = ?1 AND b.digest = ?2
			UNION ALL SELECT size, pushed FROM registry_manifests m JOIN registry_repositories r ON r.id = m.repository WHERE r.name = ?1 AND m.digest = ?2 LIMIT 1`,
			repository, digest).Scan(&size, &touched)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return 0, registry.Fail(errs.NotFound, registry.BlobUnknown, "the repository %s has no blob %s", repository, digest)
	}
	return size, err
}

// touch notes that somebody was told of a blob, and may build a manifest on it.
func (s *Service) touch(ctx context.Context, repository, digest string) error {
	return s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE registry_blobs SET touched = ?1 WHERE digest = ?2 AND touched < ?1 - ?3
			AND repository = (SELECT id FROM registry_repositories WHERE name = ?4)`,
			s.now().Unix(), digest, int64(s.limits.Grace/time.Second/2), repository)
		return err
	})
}

// strs collects a column of text.
func strs(tx *sql.Tx, query string, args ...any) ([]string, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

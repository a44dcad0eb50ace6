package registry

import (
	"context"
	"database/sql"
	"encoding/json"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
)

// maxPage bounds one answer of a list.
const maxPage = 1000

// limit is how many entries a page may have.
func limit(p registry.Page) int {
	if p.N < 0 || p.N > maxPage {
		return maxPage
	}
	return p.N
}

// Repositories lists those that the caller may read, in order; more says that
// there are others behind the last.
func (s *Service) Repositories(ctx context.Context, who registry.Who, p registry.Page) (names []string, more bool, err error) {
	n := limit(p)
	names = []string{}
	for last := p.Last; ; {
		var some []string
		err := s.db.Read(ctx, func(tx *sql.Tx) (err error) {
			some, err = strs(tx, "SELECT name FROM registry_repositories WHERE name > ? ORDER BY name LIMIT ?", last, maxPage)
			return err
		})
		if err != nil {
			return nil, false, err
		}
		for _, name := range some {
			if s.access.Allowed(ctx, who, name, registry.Read) != nil {
				continue
			}
			if len(names) == n {
				return names, true, nil
			}
			names = append(names, name)
		}
		if len(some) < maxPage {
			return names, false, nil
		}
		last = some[len(some)-1]
	}
}

// Tags lists the tags of a repository in order.
func (s *Service) Tags(ctx context.Context, who registry.Who, repository string, p registry.Page) (tags []string, more bool, err error) {
	if err := s.may(ctx, who, repository, registry.Read); err != nil {
		return nil, false, err
	}
	n := limit(p)
	err = s.db.Read(ctx, func(tx *sql.Tx) error {
		id, err := repositoryID(tx, repository)
		if err != nil {
			return err
		}
		if id == none {
			return registry.Fail(errs.NotFound, registry.NameUnknown, "there is no repository %s", repository)
		}
		tags, err = strs(tx, "SELECT name FROM registry_tags WHERE repository = ? AND name > ? ORDER BY name LIMIT ?", id, p.Last, n+1)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	if len(tags) > n {
		return tags[:n], true, nil
	}
	return tags, false, nil
}

// Referrers lists the manifests whose subject is a digest, of one artifact type
// where kind is set. A digest that is not here has none.
func (s *Service) Referrers(ctx context.Context, who registry.Who, repository, subject, kind string, p registry.Page) (found []registry.Descriptor, more bool, err error) {
	if err := s.may(ctx, who, repository, registry.Read); err != nil {
		return nil, false, err
	}
	d, err := parseDigest(subject)
	if err != nil {
		return nil, false, err
	}
	n := limit(p)
	found = []registry.Descriptor{}
	err = s.db.Read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.Query(`SELECT m.digest, m.size, m.media_type, m.artifact_type, m.annotations
			FROM registry_manifests m JOIN registry_repositories r ON r.id = m.repository
			WHERE r.name = ? AND m.subject = ? AND (?3 = '' OR m.artifact_type = ?3) AND m.digest > ? ORDER BY m.digest LIMIT ?`,
			repository, d.String(), kind, p.Last, n+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r registry.Descriptor
			var annotations string
			if err := rows.Scan(&r.Digest, &r.Size, &r.MediaType, &r.ArtifactType, &annotations); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(annotations), &r.Annotations); err != nil {
				return errs.New(errs.Internal, "the annotations of %s cannot be read: %w", r.Digest, err)
			}
			found = append(found, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, false, err
	}
	return cut(found, n)
}

// cut keeps a page's entries, and as many as fit in one answer of a manifest's size.
func cut(found []registry.Descriptor, n int) ([]registry.Descriptor, bool, error) {
	size := 0
	for i, r := range found {
		raw, err := json.Marshal(r)
		if err != nil {
			return nil, false, err
		}
		if size += len(raw) + 1; i == n || i > 0 && size > MaxManifest-4096 {
			return found[:i], true, nil
		}
	}
	return found, false, nil
}

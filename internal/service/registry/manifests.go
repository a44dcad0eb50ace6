package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
	"lus/internal/store/sqlite"
)

// reference is what a manifest is asked for by: a tag, or a digest.
func reference(text string) (tag string, d digest.Digest, err error) {
	if strings.Contains(text, ":") {
		d, err = parseDigest(text)
		return "", d, err
	}
	if !registry.ValidTag(text) {
		return "", "", registry.Fail(errs.Invalid, registry.ManifestInvalid, "invalid tag %.80q: use letters, digits and . _ -, at most %d of them", text, registry.MaxTag)
	}
	return text, "", nil
}

// digestError is the error of a reference that was meant as a digest: what cannot
// be a tag is one that does not exist.
func digestError(ref string, err error) error {
	if strings.Contains(ref, ":") {
		return err
	}
	return nil
}

// unknownManifest is the error of a tag or digest that is not there.
func unknownManifest(repository, ref string) error {
	what := "tag"
	if strings.Contains(ref, ":") {
		what = "manifest"
	}
	return registry.Fail(errs.NotFound, registry.ManifestUnknown, "the repository %s has no %s %.140s", repository, what, ref)
}

// Manifest finds a manifest by tag or digest; its bytes come along where body is set.
func (s *Service) Manifest(ctx context.Context, who registry.Who, repository, ref string, body bool) (*registry.Manifest, error) {
	if err := s.may(ctx, who, repository, registry.Read); err != nil {
		return nil, err
	}
	tag, d, err := reference(ref)
	if err != nil {
		return nil, errOr(digestError(ref, err), unknownManifest(repository, ref))
	}
	if src, there, err := s.from(ctx, repository); err != nil {
		return nil, err
	} else if src != nil {
		if err := s.freshManifest(ctx, src, there, repository, tag, d); err != nil {
			return nil, err
		}
	}
	m, err := s.manifest(ctx, repository, tag, d)
	if err != nil || !body {
		return m, err
	}
	m.Raw, err = s.raw(ctx, m)
	if errdefs.IsNotFound(err) {
		return nil, registry.Fail(errs.NotFound, registry.ManifestUnknown, "the manifest %s of %s is lost: push it again", ref, repository)
	}
	return m, err
}

func (s *Service) manifest(ctx context.Context, repository, tag string, d digest.Digest) (*registry.Manifest, error) {
	m := new(registry.Manifest)
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		id, err := repositoryID(tx, repository)
		if err != nil {
			return err
		}
		if id == none {
			return registry.Fail(errs.NotFound, registry.NameUnknown, "there is no repository %s", repository)
		}
		if tag != "" {
			err := tx.QueryRow("SELECT digest FROM registry_tags WHERE repository = ? AND name = ?", id, tag).Scan(&d)
			if errors.Is(err, sql.ErrNoRows) {
				return unknownManifest(repository, tag)
			}
			if err != nil {
				return err
			}
		}
		err = tx.QueryRow("SELECT digest, media_type, size FROM registry_manifests WHERE repository = ? AND digest = ?", id, d.String()).Scan(&m.Digest, &m.MediaType, &m.Size)
		if errors.Is(err, sql.ErrNoRows) {
			return unknownManifest(repository, d.String())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (s *Service) raw(ctx context.Context, m *registry.Manifest) ([]byte, error) {
	f, err := s.store.OpenBlob(ctx, digest.Digest(m.Digest))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxManifest))
}

// PutManifest keeps a manifest under a tag or its digest. All that it names must
// be in the repository; its subject need not. It returns the digest, and that of
// the subject.
func (s *Service) PutManifest(ctx context.Context, who registry.Who, repository, ref, mediaType string, raw []byte) (got, subject string, err error) {
	if err := s.may(ctx, who, repository, registry.Write); err != nil {
		return "", "", err
	}
	tag, want, err := reference(ref)
	if err != nil {
		return "", "", err
	}
	doc, err := readManifest(mediaType, raw)
	if err != nil {
		return "", "", err
	}
	d := digest.FromBytes(raw)
	if want != "" {
		d = want.Algorithm().FromBytes(raw)
	}
	if want != "" && want != d {
		return "", "", registry.Fail(errs.Invalid, registry.DigestInvalid, "the manifest is %s and not %s", d, want)
	}
	if doc.Subject != nil {
		subject = doc.Subject.Digest.String()
	}
	return d.String(), subject, s.keep(ctx, repository, tag, d, doc, raw)
}

// keep stores a manifest that may be kept.
func (s *Service) keep(ctx context.Context, repository, tag string, d digest.Digest, doc *document, raw []byte) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.complete(ctx, repository, doc); err != nil {
		return err // before anything is written
	}
	if err := s.store.WriteHeld(ctx, hold, d, raw); err != nil {
		return noRoom(err)
	}
	return s.db.Write(ctx, sqlite.Power, func(tx *sql.Tx) error {
		if err := missing(tx, repository, doc); err != nil {
			return err
		}
		return s.insert(tx, repository, tag, d, doc, int64(len(raw)))
	})
}

func (s *Service) complete(ctx context.Context, repository string, doc *document) error {
	return s.db.Read(ctx, func(tx *sql.Tx) error { return missing(tx, repository, doc) })
}

// missing says what a manifest names that its repository has not.
func missing(tx *sql.Tx, repository string, doc *document) error {
	id, err := repositoryID(tx, repository)
	if err != nil {
		return err
	}
	has := func(query, digest string) (bool, error) {
		var n int
		err := tx.QueryRow(query, id, digest).Scan(&n)
		return n > 0, err
	}
	for _, b := range doc.blobs() {
		ok, err := has("SELECT count(*) FROM registry_blobs WHERE repository = ? AND digest = ?", b.Digest.String())
		if err != nil || !ok {
			return errOr(err, registry.Fail(errs.Invalid, registry.ManifestBlobUnknown, "the manifest names the blob %s, which %s has not: push it before", b.Digest, repository))
		}
	}
	for _, m := range doc.Manifests {
		ok, err := has("SELECT count(*) FROM registry_manifests WHERE repository = ? AND digest = ?", m.Digest.String())
		if err != nil || !ok {
			return errOr(err, registry.Fail(errs.Invalid, registry.ManifestBlobUnknown, "the index names the manifest %s, which %s has not: push it before", m.Digest, repository))
		}
	}
	return nil
}

// insert writes the rows of a manifest.
func (s *Service) insert(tx *sql.Tx, repository, tag string, d digest.Digest, doc *document, size int64) error {
	id, err := ensureRepository(tx, repository, s.now())
	if err != nil {
		return err
	}
	annotations := []byte("{}")
	subject := ""
	if doc.Subject != nil {
		subject = doc.Subject.Digest.String()
		if annotations, err = json.Marshal(doc.Annotations); err != nil {
			return err
		}
	}
	now := s.now().Unix()
	if _, err := tx.Exec(`INSERT INTO registry_manifests(repository, digest, size, pushed, media_type, artifact_type, subject, annotations)
		VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET pushed = excluded.pushed, media_type = excluded.media_type`,
		id, d.String(), size, now, doc.MediaType, doc.kind(), subject, string(annotations)); err != nil {
		return err
	}
	for _, b := range append(doc.blobs(), doc.Manifests...) {
		if _, err := tx.Exec("INSERT OR IGNORE INTO registry_refs(repository, manifest, target) VALUES(?, ?, ?)", id, d.String(), b.Digest.String()); err != nil {
			return err
		}
	}
	if tag != "" {
		if _, err := tx.Exec(`INSERT INTO registry_tags(repository, name, digest, updated) VALUES(?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET digest = excluded.digest, updated = excluded.updated`, id, tag, d.String(), now); err != nil {
			return err
		}
	}
	return quotaKept(tx, repository)
}

// DeleteManifest removes a tag, or a manifest with all tags that name it.
func (s *Service) DeleteManifest(ctx context.Context, who registry.Who, repository, ref string) error {
	if err := s.may(ctx, who, repository, registry.Delete); err != nil {
		return err
	}
	tag, d, err := reference(ref)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, sqlite.Power, func(tx *sql.Tx) error {
		id, err := repositoryID(tx, repository)
		if err != nil {
			return err
		}
		if id == none {
			return registry.Fail(errs.NotFound, registry.NameUnknown, "there is no repository %s", repository)
		}
		query, arg := "DELETE FROM registry_manifests WHERE repository = ? AND digest = ?", d.String()
		if tag != "" {
			query, arg = "DELETE FROM registry_tags WHERE repository = ? AND name = ?", tag
		} else if err := inIndex(tx, id, repository, d.String()); err != nil {
			return err
		}
		r, err := tx.Exec(query, id, arg)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errOr(err, unknownManifest(repository, arg))
		}
		return nil
	})
}

// inIndex refuses to break an index: its manifests go after it.
func inIndex(tx *sql.Tx, id int64, repository, digest string) error {
	var users int
	if err := tx.QueryRow("SELECT count(*) FROM registry_refs WHERE repository = ? AND target = ?", id, digest).Scan(&users); err != nil || users == 0 {
		return err
	}
	return registry.Fail(errs.Unsupported, registry.Unsupported, "the manifest %s of %s is named by %d index(es): delete those first", digest, repository, users)
}

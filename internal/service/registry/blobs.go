package registry

import (
	"context"
	"database/sql"
	"io"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
	"lus/internal/store/sqlite"
)

// parseDigest takes the algorithms of the specification.
func parseDigest(text string) (digest.Digest, error) {
	d, err := digest.Parse(text)
	if err != nil {
		return "", registry.Fail(errs.Invalid, registry.DigestInvalid, "invalid digest: %s", err)
	}
	if d.Algorithm() != digest.SHA256 && d.Algorithm() != digest.SHA512 {
		return "", registry.Fail(errs.Invalid, registry.DigestInvalid, "digests of the algorithm %s are not kept here: use sha256", d.Algorithm())
	}
	return d, nil
}

// BlobSize tells the size of a blob of a repository. Its link stays for a while
// then, since the caller may build on it.
func (s *Service) BlobSize(ctx context.Context, who registry.Who, repository, digest string) (int64, error) {
	if err := s.may(ctx, who, repository, registry.Read); err != nil {
		return 0, err
	}
	d, err := parseDigest(digest)
	if err != nil {
		return 0, err
	}
	coming, err := s.openComing(ctx, repository, d)
	if err != nil {
		return 0, err
	}
	if coming != nil {
		return coming.c.size, coming.Close()
	}
	size, err := s.linked(ctx, repository, d.String())
	if err != nil {
		return 0, err
	}
	if _, err := s.store.Size(ctx, d); errdefs.IsNotFound(err) { // said to be here, it would never be sent again
		return 0, registry.Fail(errs.NotFound, registry.BlobUnknown, "the blob %s of %s is lost: push it again", d, repository)
	}
	return size, s.touch(ctx, repository, d.String())
}

// OpenBlob opens a blob of a repository where it lies: it is an *os.File, or, while
// it comes from another registry, a reader that waits for what is not there yet.
func (s *Service) OpenBlob(ctx context.Context, who registry.Who, repository, digest string) (io.ReadSeekCloser, error) {
	if err := s.may(ctx, who, repository, registry.Read); err != nil {
		return nil, err
	}
	d, err := parseDigest(digest)
	if err != nil {
		return nil, err
	}
	coming, err := s.openComing(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	if coming != nil {
		return coming, nil
	}
	if _, err := s.linked(ctx, repository, d.String()); err != nil {
		return nil, err
	}
	f, err := s.store.OpenBlob(ctx, d)
	switch {
	case errdefs.IsNotFound(err):
		return nil, registry.Fail(errs.NotFound, registry.BlobUnknown, "the blob %s of %s is lost: push it again", d, repository)
	case err != nil:
		return nil, err
	}
	return f, nil
}

// DeleteBlob unlinks a blob that no manifest of the repository names.
func (s *Service) DeleteBlob(ctx context.Context, who registry.Who, repository, digest string) error {
	if err := s.may(ctx, who, repository, registry.Delete); err != nil {
		return err
	}
	d, err := parseDigest(digest)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		id, err := repositoryID(tx, repository)
		if err != nil {
			return err
		}
		var users int
		if err := tx.QueryRow("SELECT count(*) FROM registry_refs WHERE repository = ? AND target = ?", id, d.String()).Scan(&users); err != nil {
			return err
		}
		if users > 0 {
			return registry.Fail(errs.Unsupported, registry.Unsupported, "the blob %s of %s is named by %d manifest(s): delete those first", d, repository, users)
		}
		r, err := tx.Exec("DELETE FROM registry_blobs WHERE repository = ? AND digest = ?", id, d.String())
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errOr(err, registry.Fail(errs.NotFound, registry.BlobUnknown, "the repository %s has no blob %s", repository, d))
		}
		return nil
	})
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// Mount links a blob of another repository, which the caller must be allowed to
// read, into this one. Where that cannot be done it reports false, and the
// caller uploads: a mount tells nobody whether a blob exists.
func (s *Service) Mount(ctx context.Context, who registry.Who, repository, digest, from string) (bool, error) {
	if err := s.may(ctx, who, repository, registry.Write); err != nil {
		return false, err
	}
	d, err := parseDigest(digest)
	if err != nil || from == "" || s.may(ctx, who, from, registry.Read) != nil {
		return false, err
	}
	size, err := s.linked(ctx, from, d.String())
	if errs.Is(err, errs.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	err = s.store.Hold(ctx, hold, d)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error { return s.link(tx, repository, d.String(), size) })
	return err == nil, err
}

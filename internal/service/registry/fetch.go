package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
	"lus/internal/service/registry/internal/upstream"
	"lus/internal/store/sqlite"
)

// once does something that many may ask for at the same time, once, and goes on
// with it where the first who asked goes away.
func (s *Service) once(ctx context.Context, key string, do func(ctx context.Context) error) error {
	ch := s.upstreams.flight.DoChan(key, func() (any, error) {
		if err := s.upstreams.begin(); err != nil {
			return nil, err
		}
		defer s.upstreams.group.Done()
		return nil, do(s.store.Context(s.upstreams.ctx)) // with the log that the library writes to
	})
	select {
	case r := <-ch:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// freshManifest sees to it that a manifest of another registry is here, and that
// a tag says what it says there. Where that registry does not answer, what is
// here has to do.
func (s *Service) freshManifest(ctx context.Context, src *source, there, repository, tag string, d digest.Digest) error {
	if tag == "" {
		if _, err := s.manifest(ctx, repository, "", d); err == nil {
			return nil // what a digest names does not change
		}
	}
	if why := src.resting(s.now()); why != nil {
		return s.orHere(ctx, src, repository, tag, d, why)
	}
	ref := there + ":" + tag
	if tag == "" {
		ref = there + "@" + d.String()
	}
	err := s.once(ctx, "manifest "+src.Prefix+" "+ref, func(ctx context.Context) error {
		return s.fetchManifest(ctx, src, there, repository, tag, ref)
	})
	if err == nil || ctx.Err() != nil || errors.Is(err, errKept) {
		return err
	}
	if errors.Is(err, upstream.ErrNone) {
		return unknownManifest(repository, tag+d.String())
	}
	if !errors.Is(err, upstream.ErrRefused) {
		src.failed(s.now(), err)
	}
	s.log.Warn("another registry does not answer", "registry", src.URL, "error", err)
	return s.orHere(ctx, src, repository, tag, d, err)
}

// errKept marks errors of keeping what the other registry gave: asking it again
// would not help.
var errKept = errors.New("it cannot be kept")

// orHere is nil where a manifest is here, else the reason why not.
func (s *Service) orHere(ctx context.Context, src *source, repository, tag string, d digest.Digest, why error) error {
	if _, err := s.manifest(ctx, repository, tag, d); err == nil {
		return nil
	}
	return registry.Fail(errs.Unavailable, registry.Unavailable, "%s is fetched from %s, which does not give it: %s: try again later", repository, src.URL, why)
}

func (s *Service) fetchManifest(ctx context.Context, src *source, there, repository, tag, ref string) error {
	desc, err := src.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	if _, err := parseDigest(desc.Digest.String()); err != nil {
		return err
	}
	if m, err := s.manifest(ctx, repository, "", desc.Digest); err == nil {
		return s.retag(ctx, repository, tag, m.Digest)
	}
	if desc.Size > MaxManifest {
		return invalidManifest("the manifest %s is larger than %d bytes", ref, MaxManifest)
	}
	raw, err := src.Manifest(ctx, there, desc, MaxManifest)
	if err != nil {
		return err
	}
	doc, err := readManifest(desc.MediaType, raw)
	if err != nil {
		return err
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.store.WriteHeld(ctx, hold, desc.Digest, raw); err != nil {
		return fmt.Errorf("%w: %w", errKept, noRoom(err))
	}
	err = s.db.Write(ctx, sqlite.Power, func(tx *sql.Tx) error {
		if err := adopt(tx, repository, src, s.now()); err != nil {
			return err
		}
		return s.insert(tx, repository, tag, desc.Digest, doc, int64(len(raw)))
	})
	if err != nil {
		return errors.Join(errKept, err)
	}
	return nil
}

// retag points a tag at a manifest that is here.
func (s *Service) retag(ctx context.Context, repository, tag, d string) error {
	if tag == "" {
		return nil
	}
	return s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		id, err := repositoryID(tx, repository)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO registry_tags(repository, name, digest, updated) VALUES(?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET digest = excluded.digest, updated = excluded.updated WHERE digest <> excluded.digest`, id, tag, d, s.now().Unix())
		return err
	})
}

// adopt makes the row of a repository that is fetched from elsewhere.
func adopt(tx *sql.Tx, repository string, src *source, now time.Time) error {
	_, err := tx.Exec("INSERT INTO registry_repositories(name, created, upstream) VALUES(?, ?, ?) ON CONFLICT DO NOTHING", repository, now.Unix(), src.mark())
	return err
}

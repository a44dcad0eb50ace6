package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/registry"
	"lus/internal/service/registry/internal/upstream"
	"lus/internal/store/sqlite"
)

// stall is how long another registry may send nothing.
const stall = time.Minute

// once does something that many may ask for at the same time, once, and goes on
// with it where the first who asked goes away.
func (s *Service) once(ctx context.Context, key string, do func(ctx context.Context) error) error {
	ch := s.upstreams.flight.DoChan(key, func() (any, error) {
		s.upstreams.group.Add(1)
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
	ctx, cancel := context.WithTimeout(ctx, stall)
	defer cancel()
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

// freshBlob sees to it that a blob of another registry is here.
func (s *Service) freshBlob(ctx context.Context, src *source, there, repository string, d digest.Digest) error {
	if _, err := s.linked(ctx, repository, d.String()); err == nil {
		return nil
	}
	if why := src.resting(s.now()); why != nil {
		return registry.Fail(errs.Unavailable, registry.Unavailable, "%s is fetched from %s, which does not answer: %s: try again later", repository, src.URL, why)
	}
	err := s.once(ctx, "blob "+repository+" "+d.String(), func(ctx context.Context) error {
		return s.fetchBlob(ctx, src, there, repository, d)
	})
	var code registry.Code
	switch {
	case err == nil, ctx.Err() != nil, errors.As(err, &code):
		return err
	case errors.Is(err, upstream.ErrNone):
		return registry.Fail(errs.NotFound, registry.BlobUnknown, "%s has no blob %s for %s", src.URL, d, repository)
	}
	if !errors.Is(err, upstream.ErrRefused) {
		src.failed(s.now(), err)
	}
	return registry.Fail(errs.Unavailable, registry.Unavailable, "%s is fetched from %s, which does not give the blob %s: %s: try again later", repository, src.URL, d, err)
}

// fetchBlob brings a blob here, whoever else has it: that others have it says
// nothing about whether it is the other registry's to give.
func (s *Service) fetchBlob(ctx context.Context, src *source, there, repository string, d digest.Digest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rc, size, err := src.Blob(ctx, there, d)
	if err != nil {
		return err
	}
	defer rc.Close()
	left, err := s.room(ctx, repository)
	if err != nil {
		return err
	}
	if size > left {
		return overQuota(repository)
	}
	in, err := s.store.Ingest(ctx, hold, "lus-through-"+ids.New())
	if err != nil {
		return noRoom(err)
	}
	defer in.Discard(ctx)
	watch := time.AfterFunc(stall, cancel)
	defer watch.Stop()
	to := &counted{w: in}
	_, err = io.CopyBuffer(to, io.LimitReader(&alive{rc, func() { watch.Reset(stall) }}, left+1), make([]byte, 256<<10))
	switch {
	case to.err != nil:
		return noRoom(to.err)
	case err != nil:
		return err
	case to.n > left:
		return overQuota(repository)
	case in.Digest().Algorithm() == d.Algorithm() && in.Digest() != d:
		return fmt.Errorf("what %s sent is not %s", src.URL, d)
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := in.Commit(ctx, to.n, d); err != nil {
		return noRoom(err)
	}
	return s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		if err := adopt(tx, repository, src, s.now()); err != nil {
			return err
		}
		return s.link(tx, repository, d.String(), to.n)
	})
}

// alive tells of each read that brought something.
type alive struct {
	io.Reader
	tell func()
}

func (a *alive) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.tell()
	}
	return n, err
}

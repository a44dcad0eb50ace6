package registry

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/registry"
	"lus/internal/store/content"
	"lus/internal/store/sqlite"
)

// uploads are the uploads under way. They live in memory and in the store's
// folder of half blobs, which the next process empties: after a crash a client
// is told BLOB_UPLOAD_UNKNOWN and begins that blob again.
type uploads struct {
	mu   sync.Mutex
	list map[string]*upload
}

// upload is one blob on its way in. busy is a lock that can be waited for with
// a context.
type upload struct {
	id, repository string
	busy           chan struct{}

	in   *content.Ingest // nil once it ended
	size int64
	used time.Time
}

// StartUpload begins an upload and returns its id.
func (s *Service) StartUpload(ctx context.Context, who registry.Who, repository string) (string, error) {
	if err := s.may(ctx, who, repository, registry.Write); err != nil {
		return "", err
	}
	u := &upload{id: ids.New(), repository: repository, busy: make(chan struct{}, 1), used: s.now()}
	s.uploads.mu.Lock()
	full := len(s.uploads.list) >= s.limits.Uploads
	if !full {
		s.uploads.list[u.id] = u
	}
	s.uploads.mu.Unlock()
	if full {
		return "", registry.Fail(errs.Unavailable, registry.TooManyRequests, "%d uploads are under way, more are not taken: try again when some have ended", s.limits.Uploads)
	}
	u.busy <- struct{}{}
	defer u.free()
	in, err := s.store.Ingest(ctx, hold, "lus-upload-"+u.id)
	if err != nil {
		s.forget(u)
		return "", noRoom(err)
	}
	u.in = in
	return u.id, nil
}

func (u *upload) free() { <-u.busy }

func (s *Service) forget(u *upload) {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	delete(s.uploads.list, u.id)
}

// take finds an upload of a repository and keeps others off it until free.
func (s *Service) take(ctx context.Context, who registry.Who, repository, id string) (*upload, error) {
	if err := s.may(ctx, who, repository, registry.Write); err != nil {
		return nil, err
	}
	unknown := registry.Fail(errs.NotFound, registry.BlobUploadUnknown, "the upload is not known: it ended, or the registry was started anew; begin this blob again")
	s.uploads.mu.Lock()
	u := s.uploads.list[id]
	s.uploads.mu.Unlock()
	if u == nil || u.repository != repository {
		return nil, unknown
	}
	select {
	case u.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if u.in == nil {
		u.free()
		return nil, unknown
	}
	u.used = s.now()
	return u, nil
}

// UploadSize tells how many bytes of an upload are here.
func (s *Service) UploadSize(ctx context.Context, who registry.Who, repository, id string) (int64, error) {
	u, err := s.take(ctx, who, repository, id)
	if err != nil {
		return 0, err
	}
	defer u.free()
	return u.size, nil
}

// AppendUpload adds what body gives, which begins at offset from (negative: where
// the last ended), and returns how many bytes are here then. What came of a body
// that broke off stays, so that the client can go on from there.
func (s *Service) AppendUpload(ctx context.Context, who registry.Who, repository, id string, from int64, body io.Reader) (int64, error) {
	u, err := s.take(ctx, who, repository, id)
	if err != nil {
		return 0, err
	}
	defer u.free()
	err = s.receive(ctx, u, from, body)
	return u.size, err
}

// receive copies body into an upload that was taken.
func (s *Service) receive(ctx context.Context, u *upload, from int64, body io.Reader) error {
	if from >= 0 && from != u.size {
		return registry.Fail(errs.Invalid, registry.RangeInvalid, "the chunk begins at %d, but %d bytes are here: go on from there", from, u.size)
	}
	left, err := s.room(ctx, u.repository)
	if err != nil {
		return err
	}
	to := &counted{w: u.in}
	_, err = io.CopyBuffer(to, io.LimitReader(body, max(left-u.size, 0)+1), make([]byte, 256<<10))
	u.size += to.n
	u.used = s.now()
	switch {
	case to.err != nil: // the file may hold more than was counted
		s.end(ctx, u)
		return noRoom(to.err)
	case u.size > left:
		s.end(ctx, u)
		return overQuota(u.repository)
	case err != nil:
		return registry.Fail(errs.Invalid, registry.BlobUploadInvalid, "the upload broke off after %d bytes: %s", u.size, err)
	}
	return nil
}

// counted tells errors of writing from those of reading.
type counted struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

// end gives up an upload that was taken.
func (s *Service) end(ctx context.Context, u *upload) {
	u.in.Discard(ctx)
	u.in = nil
	s.forget(u)
}

// FinishUpload adds the last bytes and makes the blob, which must have the digest.
// A wrong digest ends the upload.
func (s *Service) FinishUpload(ctx context.Context, who registry.Who, repository, id string, from int64, body io.Reader, want string) error {
	u, err := s.take(ctx, who, repository, id)
	if err != nil {
		return err
	}
	defer u.free()
	d, err := parseDigest(want)
	if err != nil {
		return err
	}
	if err := s.receive(ctx, u, from, body); err != nil {
		return err
	}
	// A digest of another algorithm than the store's is made when it is committed.
	if got := u.in.Digest(); got != d && got.Algorithm() == d.Algorithm() {
		s.end(ctx, u)
		return registry.Fail(errs.Invalid, registry.DigestInvalid, "what was uploaded (%d bytes) is %s and not %s: send it again", u.size, got, d)
	}
	return s.commit(ctx, u, d)
}

func (s *Service) commit(ctx context.Context, u *upload, d digest.Digest) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	defer func() {
		u.in = nil
		s.forget(u)
	}()
	if err := u.in.Commit(ctx, u.size, d); err != nil {
		u.in.Discard(ctx)
		if errdefs.IsFailedPrecondition(err) {
			return registry.Fail(errs.Invalid, registry.DigestInvalid, "what was uploaded is not %s: %s", d, err)
		}
		return noRoom(err)
	}
	return s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error { return s.link(tx, u.repository, d.String(), u.size) })
}

// CancelUpload ends an upload.
func (s *Service) CancelUpload(ctx context.Context, who registry.Who, repository, id string) error {
	u, err := s.take(ctx, who, repository, id)
	if err != nil {
		return err
	}
	defer u.free()
	s.end(ctx, u)
	return nil
}

// expire ends the uploads that nobody went on with.
func (s *Service) expire(ctx context.Context) int {
	s.uploads.mu.Lock()
	var all []*upload
	for _, u := range s.uploads.list {
		all = append(all, u)
	}
	s.uploads.mu.Unlock()
	n := 0
	for _, u := range all {
		select {
		case u.busy <- struct{}{}:
		default: // somebody is at it
			continue
		}
		if u.in != nil && s.now().Sub(u.used) > s.limits.Idle {
			s.end(ctx, u)
			n++
		}
		u.free()
	}
	return n
}

// noRoom words a write that failed.
func noRoom(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return registry.Fail(errs.Unavailable, registry.Unavailable, "the disk of the registry is full: free some space there (lus registry gc, lus system prune), then push again")
	}
	return err
}

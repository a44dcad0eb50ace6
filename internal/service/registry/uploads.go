package registry

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"slices"
	"strings"
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

// uploads are the uploads under way. Their bytes are in the store's folder of
// half blobs. One that comes in chunks has a row, so that its client can go on
// after a restart, also one that nobody announced.
type uploads struct {
	mu   sync.Mutex
	list map[string]*upload
	// refused are the last few for which there was no room, and what was answered:
	// many clients try the same request again, and would be told in the end that
	// the upload is not known.
	refused map[string]refusal
}

type refusal struct {
	repository string
	why        error
}

// maxRefused bounds how many refusals are remembered.
const maxRefused = 64

// upload is one blob on its way in. busy is a lock that can be waited for with
// a context, and guards what follows.
type upload struct {
	id, repository string
	busy           chan struct{}

	in       *content.Ingest // nil: nobody has gone on with it since the restart
	size     int64
	used     time.Time
	recorded bool // there is a row
	over     bool
}

// ref names in the store what there is of it.
func (u *upload) ref() string { return content.UploadPrefix + u.id }

// loadUploads finds the uploads of a former process that have both a row and
// bytes. Whichever is alone goes.
func (s *Service) loadUploads(ctx context.Context) error {
	s.uploads.list, s.uploads.refused = map[string]*upload{}, map[string]refusal{}
	err := s.db.Read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.Query("SELECT id, repository FROM registry_uploads")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			u := &upload{busy: make(chan struct{}, 1), used: s.now(), recorded: true}
			if err := rows.Scan(&u.id, &u.repository); err != nil {
				return err
			}
			s.uploads.list[u.id] = u
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	kept, err := s.store.EnsureHold(ctx, hold, func(ref string) bool {
		id, ok := strings.CutPrefix(ref, content.UploadPrefix)
		return ok && s.uploads.list[id] != nil
	})
	if err != nil {
		return err
	}
	return s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		for id, u := range s.uploads.list {
			if slices.Contains(kept, u.ref()) {
				continue
			}
			delete(s.uploads.list, id)
			if err := dropUpload(tx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func dropUpload(tx *sql.Tx, id string) error {
	_, err := tx.Exec("DELETE FROM registry_uploads WHERE id = ?", id)
	return err
}

// record makes the row by which the next process knows an upload that was taken.
func (s *Service) record(ctx context.Context, u *upload) error {
	if u.recorded {
		return nil
	}
	err := s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO registry_uploads(id, repository) VALUES(?, ?)", u.id, u.repository)
		return err
	})
	u.recorded = err == nil
	return noRoom(err)
}

// wake opens what a former process received of an upload that was taken.
func (s *Service) wake(ctx context.Context, u *upload) error {
	in, err := s.store.Ingest(ctx, hold, u.ref())
	if err != nil {
		return noRoom(err)
	}
	u.in = in
	u.size, err = in.Size()
	return err
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
	if err := s.wake(ctx, u); err != nil {
		s.end(ctx, u)
		return "", err
	}
	return u.id, nil
}

func (u *upload) free() { <-u.busy }

// forget takes an upload that was taken off the list.
func (s *Service) forget(u *upload) {
	u.over = true
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	delete(s.uploads.list, u.id)
}

// take finds an upload of a repository and keeps others off it until free.
func (s *Service) take(ctx context.Context, who registry.Who, repository, id string) (*upload, error) {
	if err := s.may(ctx, who, repository, registry.Write); err != nil {
		return nil, err
	}
	unknown := registry.Fail(errs.NotFound, registry.BlobUploadUnknown, "the upload is not known, it may have ended: begin this blob again")
	s.uploads.mu.Lock()
	u := s.uploads.list[id]
	s.uploads.mu.Unlock()
	if why := s.refusedFor(id, repository); why != nil {
		return nil, why
	}
	if u == nil || u.repository != repository {
		return nil, unknown
	}
	select {
	case u.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if u.over {
		u.free()
		if why := s.refusedFor(id, repository); why != nil {
			return nil, why
		}
		return nil, unknown
	}
	if u.in == nil {
		if err := s.wake(ctx, u); err != nil {
			u.free()
			return nil, err
		}
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
	if err := s.record(ctx, u); err != nil {
		return u.size, err
	}
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
		return s.refuse(ctx, u, noRoom(to.err))
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
	if u.in != nil {
		u.in.Discard(ctx)
	} else {
		s.store.DropIngest(ctx, hold, u.ref())
	}
	s.forget(u)
	if !u.recorded {
		return
	}
	err := s.db.Write(context.WithoutCancel(ctx), sqlite.Crash, func(tx *sql.Tx) error { return dropUpload(tx, u.id) })
	if err != nil { // without its bytes the next process drops it
		s.log.Warn("removing the record of an upload", "error", err)
	}
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
	if err := u.in.Commit(ctx, u.size, d); err != nil {
		if errdefs.IsFailedPrecondition(err) {
			s.end(ctx, u)
			return registry.Fail(errs.Invalid, registry.DigestInvalid, "what was uploaded is not %s: %s", d, err)
		}
		return s.refuse(ctx, u, noRoom(err))
	}
	err := s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		if u.recorded {
			if err := dropUpload(tx, u.id); err != nil {
				return err
			}
		}
		return s.link(tx, u.repository, d.String(), u.size)
	})
	if err != nil { // as where the quota is used up; the next sweep takes the blob
		return s.refuse(ctx, u, noRoom(err))
	}
	s.forget(u)
	return nil
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

// refuse gives up an upload that was taken, and remembers why first: its client
// may ask again while it is being ended.
func (s *Service) refuse(ctx context.Context, u *upload, why error) error {
	s.remember(u, why)
	s.end(ctx, u)
	return why
}

func (s *Service) remember(u *upload, why error) {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	for id := range s.uploads.refused {
		if len(s.uploads.refused) < maxRefused {
			break
		}
		delete(s.uploads.refused, id)
	}
	s.uploads.refused[u.id] = refusal{repository: u.repository, why: why}
}

// refusedFor is why an upload was refused, nil where it was not.
func (s *Service) refusedFor(id, repository string) error {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	if no := s.uploads.refused[id]; no.repository == repository {
		return no.why
	}
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
		if !u.over && s.now().Sub(u.used) > s.limits.Idle {
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
		return registry.Fail(errs.Unavailable, registry.Unavailable, "the disk of the registry is full: free some space there (lus registry gc, lus system prune), then try again")
	}
	return err
}

package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"syscall"

	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/stall"
	"lus/internal/model/registry"
	"lus/internal/service/registry/internal/upstream"
	"lus/internal/store/content"
	"lus/internal/store/sqlite"
)

// tries is how often the rest of a blob is asked for where nothing more comes.
const tries = 3

// freshBlob sees to it that a blob of another registry comes here; nil: it is here.
// It is fetched once, whoever else asks for it meanwhile and whoever of them goes
// away.
func (s *Service) freshBlob(ctx context.Context, src *source, there, repository string, d digest.Digest) (*coming, error) {
	if _, err := s.linked(ctx, repository, d.String()); err == nil {
		return nil, nil
	}
	if why := src.resting(s.now()); why != nil {
		return nil, registry.Fail(errs.Unavailable, registry.Unavailable, "%s is fetched from %s, which does not answer: %s: try again later", repository, src.URL, why)
	}
	u, key := &s.upstreams, repository+"@"+d.String()
	u.mu.Lock()
	defer u.mu.Unlock()
	if c := u.blobs[key]; c != nil {
		return c, nil
	}
	if u.ctx.Err() != nil { // nobody waits for what would begin now
		return nil, registry.Fail(errs.Unavailable, registry.Unavailable, "the registry is stopping: try again when it is back")
	}
	c := newComing()
	u.blobs[key] = c
	u.group.Go(func() {
		err := s.given(src, repository, d, s.fetchBlob(s.store.Context(u.ctx), c, src, there, repository, d))
		u.mu.Lock()
		delete(u.blobs, key)
		u.mu.Unlock()
		c.end(err)
	})
	return c, nil
}

// given words what became of fetching a blob.
func (s *Service) given(src *source, repository string, d digest.Digest, err error) error {
	var code registry.Code
	switch {
	case err == nil, errors.As(err, &code):
		return err
	case errors.Is(err, upstream.ErrNone):
		return registry.Fail(errs.NotFound, registry.BlobUnknown, "%s has no blob %s for %s", src.URL, d, repository)
	}
	if !errors.Is(err, upstream.ErrRefused) {
		src.failed(s.now(), err)
	}
	s.log.Warn("another registry does not give a blob", "registry", src.URL, "digest", d, "error", err)
	return registry.Fail(errs.Unavailable, registry.Unavailable, "%s is fetched from %s, which does not give the blob %s: %s: try again later", repository, src.URL, d, err)
}

// fetchBlob brings a blob here, whoever else has it: that others have it says
// nothing about whether it is the other registry's to give. It goes on with what
// came the last time.
func (s *Service) fetchBlob(ctx context.Context, c *coming, src *source, there, repository string, d digest.Digest) error {
	rc, size, err := src.Blob(ctx, there, d)
	if err != nil {
		return err
	}
	defer func() { _ = rc.Close() }()
	left, err := s.room(ctx, repository)
	if err != nil {
		return err
	}
	if size > left {
		return overQuota(repository)
	}
	in, err := s.store.Partial(ctx, hold, content.PartialPrefix+"through-"+repository+"@"+d.String())
	if err != nil {
		return noRoom(err)
	}
	later := true
	defer func() { in.Leave(ctx, later) }()
	have, err := in.Size()
	if err != nil {
		return err
	}
	if size < 0 || have > size {
		later = size >= 0
		if err := in.Truncate(0); err != nil {
			return noRoom(err)
		}
		have = 0
	}
	if size >= 0 {
		file, err := in.Open()
		if err != nil {
			return err
		}
		// Said before any of it is sent on: afterwards an answer can only break off.
		if !hasRoom(file, size-have) {
			later = false
			return errors.Join(noRoom(syscall.ENOSPC), file.Close())
		}
		c.begin(size, have, file)
	}
	to := &counted{w: &telling{in, c}, n: have}
	ask := func() (io.ReadCloser, error) {
		rc, _, err := src.Blob(ctx, there, d)
		return rc, err
	}
	if err := receiveAll(ctx, rc, ask, in, to, left, c); err != nil {
		later = later && to.err == nil // what was received would take the last room
		return err
	}
	switch {
	case to.n > left:
		return overQuota(repository)
	case in.Digest().Algorithm() == d.Algorithm() && in.Digest() != d:
		later = false // nothing to go on with
		return fmt.Errorf("what %s sent is not %s", src.URL, d)
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := in.Commit(ctx, to.n, d); err != nil {
		return noRoom(err)
	}
	later = false
	return s.db.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		if err := adopt(tx, repository, src, s.now()); err != nil {
			return err
		}
		return s.link(tx, repository, d.String(), to.n)
	})
}

// receiveAll copies a blob from rc, and from what ask gives where that ends too
// early: the rest, or the whole from a registry that gives no parts.
func receiveAll(ctx context.Context, rc io.ReadCloser, ask func() (io.ReadCloser, error), in *content.Partial, to *counted, left int64, c *coming) error {
	defer func() { _ = rc.Close() }()
	for try := 1; ; try++ {
		before := to.n
		err := receive(rc, to, left)
		switch {
		case err == nil:
			return nil
		case to.err != nil:
			return noRoom(to.err)
		case to.n > before:
			try = 1
		}
		again := to.n > 0 && wholeOnly(err)
		if again {
			if err := in.Truncate(0); err != nil {
				return noRoom(err)
			}
			to.n = 0
			c.change(func() { c.have = 0 })
		}
		if try == tries || !again && !broken(err) || ctx.Err() != nil {
			return err
		}
		_ = rc.Close() // it gives nothing more
		next, err := ask()
		if err != nil {
			return err
		}
		rc = next
	}
}

// receive copies what is still to come, and no more than may be kept.
func receive(rc io.ReadCloser, to *counted, left int64) error {
	if to.n > 0 {
		seeker, ok := rc.(io.Seeker)
		if !ok {
			return errors.New("the rest of a blob cannot be asked for")
		}
		if _, err := seeker.Seek(to.n, io.SeekStart); err != nil {
			return err
		}
	}
	_, err := io.CopyBuffer(to, io.LimitReader(rc, left+1-to.n), make([]byte, 256<<10))
	return err
}

// hasRoom reports whether the disk that a file lies on has room for so much more.
func hasRoom(f *os.File, bytes int64) bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return true // writing will tell
	}
	return bytes <= int64(fs.Bavail)*fs.Bsize
}

// wholeOnly reports whether a registry does not give parts of a blob.
func wholeOnly(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	return errors.As(err, &status) && status.StatusCode == http.StatusRequestedRangeNotSatisfiable
}

// broken reports whether the rest may come a moment later.
func broken(err error) bool {
	return errors.Is(err, stall.Err) || errors.Is(err, io.ErrUnexpectedEOF)
}

// telling lets those who follow know of each write.
type telling struct {
	*content.Partial
	c *coming
}

// Write implements io.Writer.
func (t *telling) Write(p []byte) (int, error) {
	n, err := t.Partial.Write(p)
	t.c.change(func() { t.c.have += int64(n) })
	return n, err
}

// openComing is a reader of a blob that another registry has, and that is not here
// yet; nil where it is here by now, or belongs to nobody else.
func (s *Service) openComing(ctx context.Context, repository string, d digest.Digest) (*following, error) {
	src, there, err := s.from(ctx, repository)
	if err != nil || src == nil {
		return nil, err
	}
	c, err := s.freshBlob(ctx, src, there, repository, d)
	if err != nil || c == nil {
		return nil, err
	}
	return c.follow(ctx)
}

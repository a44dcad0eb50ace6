package registry

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
)

func (c *call) blobHeader() {
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", c.rest)
	h.Set("Etag", `"`+c.rest+`"`)
	h.Set("Cache-Control", "max-age=31536000, immutable, private")
}

func (c *call) headBlob() error {
	size, err := c.Registry.BlobSize(c.r.Context(), c.who, c.repo, c.rest)
	if err != nil {
		return err
	}
	c.blobHeader()
	c.w.Header().Set("Accept-Ranges", "bytes")
	c.w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// getBlob sends the file from where it lies: nothing wraps the response, so the
// kernel copies it from the disk's cache to the socket.
func (c *call) getBlob() error {
	f, err := c.Registry.OpenBlob(c.r.Context(), c.who, c.repo, c.rest)
	if err != nil {
		return err
	}
	defer f.Close()
	c.blobHeader()
	http.ServeContent(c.w, c.r, "", time.Time{}, f)
	return nil
}

func (c *call) deleteBlob() error {
	if err := c.Registry.DeleteBlob(c.r.Context(), c.who, c.repo, c.rest); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// startUpload begins an upload, mounts a blob of another repository, or takes a
// whole blob at once.
func (c *call) startUpload() error {
	ctx, q := c.r.Context(), c.r.URL.Query()
	if digest := q.Get("mount"); digest != "" {
		done, err := c.Registry.Mount(ctx, c.who, c.repo, digest, q.Get("from"))
		if err != nil {
			return err
		}
		if done {
			c.created(digest)
			return nil
		}
	}
	id, err := c.Registry.StartUpload(ctx, c.who, c.repo)
	if err != nil {
		return err
	}
	if digest := q.Get("digest"); digest != "" {
		if err := c.Registry.FinishUpload(ctx, c.who, c.repo, id, -1, c.body(), digest); err != nil {
			_ = c.Registry.CancelUpload(ctx, c.who, c.repo, id) // most errors have ended it already
			return err
		}
		c.created(digest)
		return nil
	}
	c.accepted(id, 0, http.StatusAccepted)
	return nil
}

func (c *call) created(digest string) {
	h := c.w.Header()
	h.Set("Location", Prefix+c.repo+"/blobs/"+digest)
	h.Set("Docker-Content-Digest", digest)
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusCreated)
}

func (c *call) accepted(id string, size int64, status int) {
	c.progress(id, size)
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(status)
}

// progress tells how far an upload is. Range is inclusive, and so cannot say
// zero bytes: 0-0 stands for none, as everywhere.
func (c *call) progress(id string, size int64) {
	h := c.w.Header()
	h.Set("Location", Prefix+c.repo+"/blobs/uploads/"+id)
	h.Set("Docker-Upload-Uuid", id)
	h.Set("Range", "0-"+strconv.FormatInt(max(size-1, 0), 10))
}

func (c *call) getUpload() error {
	size, err := c.Registry.UploadSize(c.r.Context(), c.who, c.repo, c.rest)
	if err != nil {
		return err
	}
	c.accepted(c.rest, size, http.StatusNoContent)
	return nil
}

func (c *call) patchUpload() error {
	from, err := c.contentRange()
	if err != nil {
		c.whereToGoOn(err)
		return err
	}
	size, err := c.Registry.AppendUpload(c.r.Context(), c.who, c.repo, c.rest, from, c.body())
	if err != nil {
		c.whereToGoOn(err)
		return err
	}
	c.accepted(c.rest, size, http.StatusAccepted)
	return nil
}

func (c *call) putUpload() error {
	digest := c.r.URL.Query().Get("digest")
	if digest == "" {
		return registry.Fail(errs.Invalid, registry.DigestInvalid, "the end of an upload needs digest=...")
	}
	from, err := c.contentRange()
	if err != nil {
		c.whereToGoOn(err)
		return err
	}
	if err := c.Registry.FinishUpload(c.r.Context(), c.who, c.repo, c.rest, from, c.body(), digest); err != nil {
		c.whereToGoOn(err)
		return err
	}
	c.created(digest)
	return nil
}

// whereToGoOn tells a client whose chunk does not follow how much is here.
func (c *call) whereToGoOn(err error) {
	if codeOf(err) != registry.RangeInvalid {
		return
	}
	if size, err := c.Registry.UploadSize(c.r.Context(), c.who, c.repo, c.rest); err == nil {
		c.progress(c.rest, size)
	}
}

func (c *call) deleteUpload() error {
	if err := c.Registry.CancelUpload(c.r.Context(), c.who, c.repo, c.rest); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// contentRange is where a chunk begins; negative where it is not said. Both ends
// are inclusive, and must agree with the length of the body where that is known.
func (c *call) contentRange() (int64, error) {
	text := c.r.Header.Get("Content-Range")
	if text == "" {
		return -1, nil
	}
	a, b, ok := strings.Cut(strings.TrimPrefix(text, "bytes "), "-")
	b, _, _ = strings.Cut(b, "/")
	from, err1 := strconv.ParseInt(a, 10, 64)
	to, err2 := strconv.ParseInt(b, 10, 64)
	if !ok || err1 != nil || err2 != nil || from < 0 || to < from-1 {
		return 0, registry.Fail(errs.Invalid, registry.RangeInvalid, "Content-Range %.40q is not FIRST-LAST", text)
	}
	if n := c.r.ContentLength; n >= 0 && n != to-from+1 {
		return 0, registry.Fail(errs.Invalid, registry.SizeInvalid, "Content-Range %.40q is %d bytes, Content-Length %d", text, to-from+1, n)
	}
	return from, nil
}

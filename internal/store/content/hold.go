package content

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/ids"
)

// labelFlat makes a lease hold blobs alone, and not what their labels refer to:
// a config's label would else keep the unpacked layers of a removed image.
const labelFlat = "containerd.io/gc.flat"

const typeContent = "content"

// Under returns a context under which each blob that is written, or found to be
// there already, is held by the lease called name, in the same transaction.
func (s *Store) Under(ctx context.Context, name string) context.Context {
	return leases.WithLease(s.Context(ctx), name)
}

// EnsureHold makes the lease called name, which holds blobs until they are
// dropped from it, also over a restart. Of what a former process received half
// it keeps what later tells by its ref that somebody may go on with it, and
// returns those refs; the rest is let go. Call it before anything is received.
func (s *Store) EnsureHold(ctx context.Context, name string, later func(ref string) bool) (kept []string, err error) {
	l := leases.Lease{ID: name}
	_, err = s.leases.Create(ctx, leases.WithID(name), leases.WithLabel(labelFlat, "1"))
	if err == nil {
		return nil, nil
	}
	if !errdefs.IsAlreadyExists(err) {
		return nil, fmt.Errorf("take the lease %s on the image store: %w", name, err)
	}
	all, err := s.leases.ListResources(ctx, l)
	if err != nil {
		return nil, err
	}
	err = s.update(s.Context(ctx), func(ctx context.Context) error {
		for _, r := range all {
			switch {
			case r.Type != "ingests":
				continue
			case later(r.ID):
				kept = append(kept, r.ID)
				continue
			}
			if err := s.leases.DeleteResource(ctx, l, r); err != nil {
				return err
			}
		}
		return nil
	})
	return kept, err
}

// Hold adds blobs that are there to the lease called name, all or none. A blob
// of a layer that was never written is made before.
func (s *Store) Hold(ctx context.Context, name string, digests ...digest.Digest) error {
	for _, d := range digests {
		if _, err := s.content.inner.Info(s.Context(ctx), d); errdefs.IsNotFound(err) {
			if _, err := s.content.make(s.Context(ctx), d); err != nil {
				return err
			}
		}
	}
	return s.update(s.Context(ctx), func(ctx context.Context) error {
		for _, d := range digests {
			if _, err := s.content.inner.Info(ctx, d); err != nil {
				return err
			}
			if err := s.leases.AddResource(ctx, leases.Lease{ID: name}, leases.Resource{ID: d.String(), Type: typeContent}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Drop lets go of blobs that the lease called name holds.
func (s *Store) Drop(ctx context.Context, name string, digests ...digest.Digest) error {
	if len(digests) == 0 {
		return nil
	}
	return s.update(s.Context(ctx), func(ctx context.Context) error {
		for _, d := range digests {
			err := s.leases.DeleteResource(ctx, leases.Lease{ID: name}, leases.Resource{ID: d.String(), Type: typeContent})
			if err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
}

// Held lists the blobs that the lease called name holds.
func (s *Store) Held(ctx context.Context, name string) ([]digest.Digest, error) {
	all, err := s.leases.ListResources(ctx, leases.Lease{ID: name})
	if err != nil {
		return nil, err
	}
	var out []digest.Digest
	for _, r := range all {
		if r.Type == typeContent {
			out = append(out, digest.Digest(r.ID))
		}
	}
	return out, nil
}

// Size is the size of a blob that is there or can be made.
func (s *Store) Size(ctx context.Context, d digest.Digest) (int64, error) {
	info, err := s.content.Info(ctx, d)
	return info.Size, err
}

// OpenBlob opens the file of a blob where it lies, to be sent without copying.
// A blob of a layer that was never written is made before.
func (s *Store) OpenBlob(ctx context.Context, d digest.Digest) (*os.File, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("blob %q: %w", d, errdefs.ErrNotFound)
	}
	ctx = s.Context(ctx)
	if _, err := s.content.inner.Info(ctx, d); err != nil {
		// Reading it makes it, where it can be made.
		r, rerr := s.content.ReaderAt(ctx, ocispec.Descriptor{Digest: d})
		if rerr != nil {
			return nil, rerr
		}
		_ = r.Close() // it was only opened
	}
	f, err := os.Open(filepath.Join(s.root, "content", "blobs", d.Algorithm().String(), d.Encoded()))
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("blob %s: %w", d, errdefs.ErrNotFound)
	}
	return f, err
}

// Ingest is a blob that is being received, whose digest is not known yet.
type Ingest struct {
	content.Writer
	store     *Store
	hold, ref string
}

// Ingest opens a writer for a blob, held by the lease called hold from its first
// byte, and goes on with what there is under ref. It lives until Commit or
// Discard, whatever becomes of ctx. What a ref that begins with UploadPrefix names
// outlives the process, if EnsureHold keeps it.
func (s *Store) Ingest(ctx context.Context, hold, ref string) (*Ingest, error) {
	w, err := s.content.Writer(s.Under(context.WithoutCancel(ctx), hold), content.WithRef(ref))
	if err != nil {
		return nil, err
	}
	return &Ingest{Writer: w, store: s, hold: hold, ref: ref}, nil
}

// Size is how many bytes were written, by a former process or by this one.
func (i *Ingest) Size() (int64, error) {
	st, err := i.Status()
	return st.Offset, err
}

// Commit makes the blob of what was written, if that has the digest. Whether it
// was there already makes no difference.
func (i *Ingest) Commit(ctx context.Context, size int64, d digest.Digest) error {
	err := i.Writer.Commit(i.store.Under(context.WithoutCancel(ctx), i.hold), size, d)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// Discard removes what was written and not committed.
func (i *Ingest) Discard(ctx context.Context) {
	_ = i.Close() // what it wrote is of no use
	i.store.DropIngest(ctx, i.hold, i.ref)
}

// DropIngest removes what was half received under ref, and nobody has open.
func (s *Store) DropIngest(ctx context.Context, hold, ref string) {
	ctx = s.Under(context.WithoutCancel(ctx), hold)
	if err := s.content.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
		s.log.Warn("removing what was half received", "ref", ref, "error", err)
	}
}

// WriteHeld writes a small blob that the lease called name holds.
func (s *Store) WriteHeld(ctx context.Context, name string, d digest.Digest, raw []byte) error {
	desc := ocispec.Descriptor{Digest: d, Size: int64(len(raw))}
	return content.WriteBlob(s.Under(context.WithoutCancel(ctx), name), s.content.inner, "lus-held-"+ids.New(), bytes.NewReader(raw), desc)
}

// labelPlain names the tar that a compressed blob is of.
const labelPlain = "containerd.io/uncompressed"

// Packed finds a layer's tar compressed as mediaType says, where that was made
// before, and keeps it by the lease in ctx.
func (s *Store) Packed(ctx context.Context, diff digest.Digest, mediaType string) (found ocispec.Descriptor, ok bool) {
	begins := map[string]string{ocispec.MediaTypeImageLayerGzip: "\x1f\x8b", ocispec.MediaTypeImageLayerZstd: "\x28\xb5\x2f\xfd"}[mediaType]
	ctx = s.Context(ctx)
	err := s.content.Walk(ctx, func(i content.Info) error {
		if !ok && begins != "" && s.begins(ctx, i.Digest, begins) {
			found, ok = ocispec.Descriptor{MediaType: mediaType, Digest: i.Digest, Size: i.Size}, true
		}
		return nil
	}, fmt.Sprintf("labels.%q==%s", labelPlain, diff))
	if err != nil || !ok {
		return found, false
	}
	return found, s.Keep(ctx, found)
}

// begins reports whether a blob begins with text.
func (s *Store) begins(ctx context.Context, d digest.Digest, text string) bool {
	f, err := s.OpenBlob(ctx, d)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(text))
	_, err = f.ReadAt(head, 0)
	return err == nil && string(head) == text
}

// Keep has the lease in ctx hold a blob, and reports whether it is there.
func (s *Store) Keep(ctx context.Context, desc ocispec.Descriptor) bool {
	ref := "lus-keep-" + ids.New()
	w, err := s.content.inner.Writer(s.Context(ctx), content.WithRef(ref), content.WithDescriptor(desc))
	if err != nil {
		return errdefs.IsAlreadyExists(err)
	}
	_ = w.Close() // nothing was written
	_ = s.content.Abort(ctx, ref)
	return false
}

package image

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/ids"
)

// packLayer compresses a layer that has no blob, straight from its folder, and
// returns what it became. A layer that was packed before, and is still there,
// is not packed again.
func (s *Service) packLayer(ctx context.Context, l ocispec.Descriptor) (ocispec.Descriptor, error) {
	unlock, err := s.busy.lock(ctx, "pack "+l.Digest.String())
	if err != nil {
		return l, err
	}
	defer unlock()
	cs := s.store.ContentStore()
	if known, ok := s.packed.get(l.Digest.String()); ok {
		if _, err := cs.Info(ctx, known.Digest); err == nil {
			return known, nil
		}
	}
	ref := "lus-pack-" + ids.New()
	w, err := content.OpenWriter(ctx, cs, content.WithRef(ref))
	if err != nil {
		return l, fmt.Errorf("pack layer %s: %w", short(l.Digest.String()), err)
	}
	defer func() {
		w.Close()
		_ = cs.Abort(context.WithoutCancel(ctx), ref) // nothing is left of one that was committed
	}()
	plain := digest.Canonical.Digester()
	z := gzip.NewWriter(w)
	if err := s.store.WriteVirtual(ctx, l.Digest, io.MultiWriter(plain.Hash(), z)); err != nil {
		return l, err
	}
	if err := z.Close(); err != nil {
		return l, err
	}
	if plain.Digest() != l.Digest {
		return l, fmt.Errorf("layer %s is now %s: its files are no longer what was hashed", l.Digest, plain.Digest())
	}
	st, err := w.Status()
	if err != nil {
		return l, err
	}
	out := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: w.Digest(), Size: st.Offset}
	label := content.WithLabels(map[string]string{"containerd.io/uncompressed": l.Digest.String()})
	if err := w.Commit(ctx, out.Size, out.Digest, label); err != nil && !errdefs.IsAlreadyExists(err) {
		return l, fmt.Errorf("pack layer %s: %w", short(l.Digest.String()), err)
	}
	s.packed.put(l.Digest.String(), out)
	return out, nil
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// copyTo copies so many bytes; fewer is an error.
func copyTo(w io.Writer, r io.Reader, size int64) error {
	n, err := io.CopyBuffer(w, r, make([]byte, 64<<10))
	if err == nil && n != size {
		err = fmt.Errorf("%d of %d bytes: %w", n, size, io.ErrUnexpectedEOF)
	}
	return err
}

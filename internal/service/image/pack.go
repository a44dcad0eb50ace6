package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
)

// packing is how a layer is compressed.
type packing struct {
	mediaType string
	writer    func(io.Writer) (io.WriteCloser, error)
}

// packingOf reads the name of a compression. Without one it is gzip, which every
// engine and registry takes.
func packingOf(name string) (packing, error) {
	switch name {
	case "", "gzip":
		// Blocks of a layer are packed side by side; the stream is ordinary gzip.
		return packing{ocispec.MediaTypeImageLayerGzip, func(w io.Writer) (io.WriteCloser, error) { return pgzip.NewWriter(w), nil }}, nil
	case "zstd":
		return packing{ocispec.MediaTypeImageLayerZstd, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }}, nil
	}
	return packing{}, errs.New(errs.Invalid, "unknown compression %q: it is gzip or zstd", name)
}

// packLayer compresses a layer that has no blob, straight from its folder, and
// returns what it became. A layer that was packed before, and is still there,
// is not packed again.
func (s *Service) packLayer(ctx context.Context, l ocispec.Descriptor, how packing) (ocispec.Descriptor, error) {
	unlock, err := s.busy.Lock(ctx, "pack "+l.Digest.String())
	if err != nil {
		return l, err
	}
	defer unlock()
	cs := s.store.ContentStore()
	key := how.mediaType + " " + l.Digest.String()
	if known, ok := s.packed.get(key); ok && s.store.Keep(ctx, known) {
		return known, nil
	}
	if known, ok := s.store.Packed(ctx, l.Digest, how.mediaType); ok { // by a former process, for a repository of ours
		s.packed.put(key, known)
		return known, nil
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
	z, err := how.writer(w)
	if err != nil {
		return l, err
	}
	if err := s.store.WriteVirtual(ctx, l.Digest, io.MultiWriter(plain.Hash(), z)); err != nil {
		return l, errors.Join(err, z.Close()) // or its threads stay
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
	out := ocispec.Descriptor{MediaType: how.mediaType, Digest: w.Digest(), Size: st.Offset}
	label := content.WithLabels(map[string]string{"containerd.io/uncompressed": l.Digest.String()})
	if err := w.Commit(ctx, out.Size, out.Digest, label); err != nil && !errdefs.IsAlreadyExists(err) {
		return l, fmt.Errorf("pack layer %s: %w", short(l.Digest.String()), err)
	}
	s.packed.put(key, out)
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

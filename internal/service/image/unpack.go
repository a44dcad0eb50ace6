package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/decompress"
	"lus/internal/base/errs"
	"lus/internal/base/ids"
)

// layer is a layer to be unpacked: its blob, what its tar's digest must be, and
// the names of its snapshot and the one below it.
type layer struct {
	blob          ocispec.Descriptor
	diff          string
	chain, parent string
}

// layersOf pairs the blobs of an image with what its config says of them.
func layersOf(blobs []ocispec.Descriptor, diffs []string) []layer {
	chains := chainIDs(diffs)
	out := make([]layer, len(blobs))
	for i, b := range blobs {
		out[i] = layer{blob: b, diff: diffs[i], chain: chains[i]}
		if i > 0 {
			out[i].parent = chains[i-1]
		}
	}
	return out
}

// staged is a layer that is unpacked, apart from those below it.
type staged struct {
	key, dir string
	implied  []string
}

// unpack makes a layer's snapshot from its blob. It reports whether it was
// there already. The one below must be there.
func (s *Service) unpack(ctx context.Context, l layer, m *meter) (there bool, err error) {
	unlock, err := s.busy.Lock(ctx, "unpack "+l.chain)
	if err != nil {
		return false, err
	}
	defer unlock()
	if there, err := s.claim(ctx, l.chain); there || err != nil {
		return there, err
	}
	st, err := s.stage(ctx, l, func() (io.ReadCloser, error) { return s.open(ctx, l.blob) }, m)
	if err != nil {
		return false, err
	}
	return false, s.place(ctx, l, st)
}

// claim takes hold of a snapshot for the lease in ctx, where it is there.
func (s *Service) claim(ctx context.Context, chain string) (bool, error) {
	sn := s.store.Snapshotter()
	info, err := sn.Stat(ctx, chain)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// With the label the answer is AlreadyExists where the chain is there, and
	// the lease holds it then.
	key := "lus-claim-" + ids.New()
	_, err = sn.Prepare(ctx, key, info.Parent, snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotRef: chain}))
	if errdefs.IsAlreadyExists(err) {
		return true, nil
	}
	if err == nil {
		err = s.removeSnapshot(ctx, key)
	}
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return false, err
}

// stage unpacks a layer by itself, so that layers need not wait for each other.
func (s *Service) stage(ctx context.Context, l layer, open func() (io.ReadCloser, error), m *meter) (st staged, err error) {
	st.key = "lus-unpack-" + ids.New()
	mounts, err := s.store.Snapshotter().Prepare(ctx, st.key, "")
	if err != nil {
		return st, fmt.Errorf("make room for layer %s: %w", short(l.diff), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.removeSnapshot(ctx, st.key))
		}
	}()
	if st.dir, _, err = folders(mounts); err != nil {
		return st, err
	}
	blob, err := open()
	if err != nil {
		return st, fmt.Errorf("read layer %s: %w", short(l.diff), err)
	}
	defer blob.Close()
	var packed io.Reader = blob
	if m != nil {
		packed = io.TeeReader(packed, m)
	}
	found := newImplied(st.dir)
	opts := []archive.ApplyOpt{archive.WithFilter(found.note)}
	if l.parent != "" {
		opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	}
	got, err := s.applyTar(ctx, packed, s.limits.bound(l.blob.Size), st.dir, opts...)
	if err != nil {
		return st, fmt.Errorf("failed to register layer %s: %w", short(l.diff), err)
	}
	if got.String() != l.diff {
		return st, errs.New(errs.Invalid, "layer %s unpacks to %s, the image's config says %s: the image is damaged, build or push it again", l.blob.Digest, got, l.diff)
	}
	if l.parent != "" {
		st.implied, err = found.folders()
	}
	return st, err
}

// place puts an unpacked layer on the one below it, which must be there.
func (s *Service) place(ctx context.Context, l layer, st staged) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.removeSnapshot(ctx, st.key))
		}
	}()
	if len(st.implied) > 0 {
		below, err := s.store.Dirs(ctx, l.parent)
		if err != nil {
			return fmt.Errorf("what lies below layer %s: %w", short(l.diff), err)
		}
		if err := inherit(st.dir, st.implied, below); err != nil {
			return err
		}
	}
	err = s.store.Snapshotter().Commit(ctx, l.chain, st.key, snapshots.WithParent(l.parent))
	if errdefs.IsAlreadyExists(err) { // a build made it meanwhile
		return s.removeSnapshot(ctx, st.key)
	}
	if err != nil {
		return fmt.Errorf("keep layer %s: %w", short(l.diff), err)
	}
	return nil
}

// open reads a blob of the store.
func (s *Service) open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	ra, err := s.store.ContentStore().ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{content.NewReader(ra), ra}, nil
}

func (s *Service) removeSnapshot(ctx context.Context, key string) error {
	err := s.store.Snapshotter().Remove(context.WithoutCancel(ctx), key)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// applyTar unpacks a tar, compressed or not, into a folder and returns the
// digest of the plain tar.
func (s *Service) applyTar(ctx context.Context, packed io.Reader, limit int64, dir string, opts ...archive.ApplyOpt) (digest.Digest, error) {
	plain, err := decompress.Reader(ctx, packed)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	hash := digest.Canonical.Digester()
	r := io.TeeReader(&bounded{r: plain, left: limit, limit: limit}, hash.Hash())
	// archive.Apply stays below dir whatever the names in the tar are.
	if _, err := archive.Apply(ctx, dir, r, opts...); err != nil {
		return "", tarError(err)
	}
	// What follows the end of the tar belongs to the digest.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return "", tarError(err)
	}
	return hash.Digest(), nil
}

// tarError gives an error of reading or writing a tar its kind.
func tarError(err error) error {
	var mine *errs.Error
	switch {
	case errors.As(err, &mine), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case full(err):
		return noSpace(err)
	}
	return errs.New(errs.Invalid, "the tar cannot be unpacked: %w", err)
}

// folders reads a writable snapshot's mount: the folder to write into and
// those below it. With nothing below, the snapshotter gives a bind.
func folders(mounts []mount.Mount) (dir string, lower []string, err error) {
	if len(mounts) != 1 {
		return "", nil, fmt.Errorf("a snapshot with %d mounts", len(mounts))
	}
	if mounts[0].Type == "bind" {
		return mounts[0].Source, nil, nil
	}
	for _, o := range mounts[0].Options {
		if v, ok := strings.CutPrefix(o, "upperdir="); ok {
			dir = v
		}
		if v, ok := strings.CutPrefix(o, "lowerdir="); ok {
			lower = strings.Split(v, ":")
		}
	}
	if dir == "" {
		return "", nil, fmt.Errorf("a snapshot without an upper folder: %v", mounts[0])
	}
	return dir, lower, nil
}

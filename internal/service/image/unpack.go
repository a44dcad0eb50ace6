package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"lus/internal/base/decompress"
	"lus/internal/base/errs"
	"lus/internal/base/ids"
)

// unpack makes the snapshot called chain, on parent, of a layer's blob. What
// comes out must have the digest diffID. It reports whether it was there already.
func (s *Service) unpack(ctx context.Context, desc ocispec.Descriptor, diffID, chain, parent string, m *meter) (there bool, err error) {
	unlock, err := s.busy.lock(ctx, "unpack "+chain)
	if err != nil {
		return false, err
	}
	defer unlock()
	key := "lus-unpack-" + ids.New()
	sn := s.store.Snapshotter()
	// With the label the answer is AlreadyExists where the chain is there, and
	// the lease holds it then.
	mounts, err := sn.Prepare(ctx, key, parent, snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotRef: chain}))
	if errdefs.IsAlreadyExists(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("make room for layer %s: %w", short(diffID), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.removeSnapshot(ctx, key))
		}
	}()
	if err := s.applyBlob(ctx, desc, mounts, diffID, m); err != nil {
		return false, err
	}
	if err := sn.Commit(ctx, chain, key); err != nil {
		return false, fmt.Errorf("keep layer %s: %w", short(diffID), err)
	}
	return false, nil
}

func (s *Service) removeSnapshot(ctx context.Context, key string) error {
	err := s.store.Snapshotter().Remove(context.WithoutCancel(ctx), key)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func (s *Service) applyBlob(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, diffID string, m *meter) error {
	ra, err := s.store.ContentStore().ReaderAt(ctx, desc)
	if err != nil {
		return fmt.Errorf("read layer %s: %w", short(diffID), err)
	}
	defer ra.Close()
	var packed io.Reader = content.NewReader(ra)
	if m != nil {
		packed = io.TeeReader(packed, m)
	}
	got, err := s.applyTar(ctx, packed, s.limits.bound(desc.Size), mounts)
	if err != nil {
		return fmt.Errorf("failed to register layer %s: %w", short(diffID), err)
	}
	if got.String() != diffID {
		return errs.New(errs.Invalid, "layer %s unpacks to %s, the image's config says %s: the image is damaged, build or push it again", desc.Digest, got, diffID)
	}
	return nil
}

// applyTar unpacks a tar, compressed or not, into the snapshot behind mounts
// and returns the digest of the plain tar.
func (s *Service) applyTar(ctx context.Context, packed io.Reader, limit int64, mounts []mount.Mount) (digest.Digest, error) {
	plain, err := decompress.Reader(ctx, packed)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	hash := digest.Canonical.Digester()
	r := io.TeeReader(&bounded{r: plain, left: limit, limit: limit}, hash.Hash())
	dir, lower, err := folders(mounts)
	if err != nil {
		return "", err
	}
	// archive.Apply stays below dir whatever the names in the tar are.
	var opts []archive.ApplyOpt
	if len(lower) > 0 {
		opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(lower))
	}
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

// settle writes what was unpacked to the disk. Names of images survive the
// power, so what they name must be there first.
func (s *Service) settle(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		if full(err) {
			return noSpace(err)
		}
		return fmt.Errorf("write the layers to the disk: %w", err)
	}
	return nil
}

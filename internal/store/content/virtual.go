package content

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"

	"lus/internal/base/ids"
)

// bucketVirtual is our own bucket beside containerd's in meta.db: for each
// layer that has no blob, "diff id NUL snapshot" -> size of the tar.
const bucketVirtual = "lus.virtual"

// keepMade is how long the blob of a virtual layer stays that was made for a reader
// without a lease; the next collection after that gives its space back.
const keepMade = 5 * time.Minute

// labelMade is on the blobs that were made so.
const labelMade = "containerd.io/gc.expire"

// virtualStore is the content store, with blobs in it that do not exist: the
// tars of layers that are in a snapshot anyway. The first read makes one.
type virtualStore struct {
	inner content.Store
	store *Store
	locks keyed
}

func virtualKey(d digest.Digest, snapshot string) []byte {
	return append(append([]byte(d), 0), snapshot...)
}

// addVirtual notes that l can be made from its snapshot. ctx has a transaction.
func (s *Store) addVirtual(ctx context.Context, l Layer) error {
	tx, ok := boltutil.Transaction(ctx)
	if !ok {
		return fmt.Errorf("virtual layer %s: no transaction", l.DiffID)
	}
	b, err := tx.CreateBucketIfNotExists([]byte(bucketVirtual))
	if err != nil {
		return err
	}
	return b.Put(virtualKey(l.DiffID, l.Snapshot), binary.AppendUvarint(nil, uint64(l.Size)))
}

// virtuals lists the snapshots that hold layer d.
func (s *Store) virtuals(ctx context.Context, d digest.Digest) ([]Layer, error) {
	var found []Layer
	err := s.view(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketVirtual))
		if b == nil {
			return nil
		}
		prefix := virtualKey(d, "")
		c := b.Cursor()
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			size, _ := binary.Uvarint(v)
			found = append(found, Layer{Snapshot: string(k[len(prefix):]), DiffID: d, Size: int64(size)})
		}
		return nil
	})
	return found, err
}

// virtual returns the layer d of a snapshot that is there.
func (s *Store) virtual(ctx context.Context, d digest.Digest) (Layer, bool) {
	found, err := s.virtuals(ctx, d)
	if err != nil {
		return Layer{}, false
	}
	for _, l := range found {
		if _, err := s.snaps.Stat(ctx, l.Snapshot); err == nil {
			return l, true
		}
	}
	return Layer{}, false
}

// IsVirtual reports whether the blob d can be made from a snapshot.
func (s *Store) IsVirtual(ctx context.Context, d digest.Digest) bool {
	_, ok := s.virtual(s.Context(ctx), d)
	return ok
}

// Came reports whether the blob d is here because somebody brought it, and not
// because it was made from a snapshot.
func (s *Store) Came(ctx context.Context, d digest.Digest) bool {
	info, err := s.content.inner.Info(s.Context(ctx), d)
	return err == nil && info.Labels[labelMade] == ""
}

// WriteVirtual writes the tar of a layer that can be made from a snapshot, or is
// here as a blob.
func (s *Store) WriteVirtual(ctx context.Context, d digest.Digest, w io.Writer) error {
	ctx = s.Context(ctx)
	r, err := s.content.inner.ReaderAt(ctx, ocispec.Descriptor{Digest: d})
	if err == nil {
		defer r.Close()
		_, err = io.Copy(w, content.NewReader(r))
		return err
	}
	l, ok := s.virtual(ctx, d)
	if !ok {
		return fmt.Errorf("layer %s: %w", d, errdefs.ErrNotFound)
	}
	return s.WriteLayer(ctx, l.Snapshot, w)
}

// dropVirtual forgets the virtual layers whose snapshot is gone.
func (s *Store) dropVirtual(ctx context.Context) error {
	var stale [][]byte
	err := s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketVirtual))
		if b == nil {
			return nil
		}
		in := boltutil.WithTransaction(ctx, tx)
		return b.ForEach(func(k, _ []byte) error {
			_, name, _ := bytes.Cut(k, []byte{0})
			if _, err := s.snaps.Stat(in, string(name)); errdefs.IsNotFound(err) {
				stale = append(stale, bytes.Clone(k))
			}
			return nil
		})
	})
	if err != nil || len(stale) == 0 {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, k := range stale {
			if err := tx.Bucket([]byte(bucketVirtual)).Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// Info implements content.Store; a virtual blob has the size its tar would have.
func (v *virtualStore) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	ctx = v.store.Context(ctx)
	info, err := v.inner.Info(ctx, d)
	if !errdefs.IsNotFound(err) {
		return info, err
	}
	if l, ok := v.store.virtual(ctx, d); ok {
		return content.Info{Digest: d, Size: l.Size}, nil
	}
	return info, err
}

// ReaderAt implements content.Store; a virtual blob is made here.
func (v *virtualStore) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	ctx = v.store.Context(ctx)
	r, err := v.inner.ReaderAt(ctx, desc)
	if !errdefs.IsNotFound(err) {
		return r, err
	}
	if made, merr := v.make(ctx, desc.Digest); merr != nil {
		return nil, merr
	} else if !made {
		return nil, err
	}
	return v.inner.ReaderAt(ctx, desc)
}

// Update changes labels. A virtual blob has none, so it is made first: who
// labels a blob is about to send it somewhere.
func (v *virtualStore) Update(ctx context.Context, i content.Info, fields ...string) (content.Info, error) {
	ctx = v.store.Context(ctx)
	if info, err := v.inner.Info(ctx, i.Digest); err == nil && hasLabels(info, i, fields) {
		return info, nil // each build labels what it reads; a write waits for the disk
	}
	info, err := v.inner.Update(ctx, i, fields...)
	if !errdefs.IsNotFound(err) {
		return info, err
	}
	if made, merr := v.make(ctx, i.Digest); merr != nil {
		return info, merr
	} else if !made {
		return info, err
	}
	return v.inner.Update(ctx, i, fields...)
}

// hasLabels tells whether a change of these fields changes nothing.
func hasLabels(is, to content.Info, fields []string) bool {
	for _, f := range fields {
		key, ok := strings.CutPrefix(f, "labels.")
		if value, has := is.Labels[key]; !ok || !has || value != to.Labels[key] {
			return false
		}
	}
	return len(fields) > 0
}

// make writes the blob of a virtual layer; false means there is no such layer.
// The content store checks the tar against its digest.
func (v *virtualStore) make(ctx context.Context, d digest.Digest) (bool, error) {
	defer v.locks.lock(string(d))()
	l, ok := v.store.virtual(ctx, d)
	if !ok {
		return false, nil
	}
	ctx, err := v.leased(ctx)
	if err != nil {
		return false, fmt.Errorf("make layer %s: %w", d, err)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: l.Size}
	ref := "lus-layer-" + d.String()
	w, err := content.OpenWriter(ctx, v.inner, content.WithRef(ref), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("make layer %s: %w", d, err)
	}
	defer func() {
		w.Close()
		_ = v.Abort(context.WithoutCancel(ctx), ref) // nothing is left of one that was committed
	}()
	if err := w.Truncate(0); err != nil {
		return false, fmt.Errorf("make layer %s: %w", d, err)
	}
	if err := v.store.WriteLayer(ctx, l.Snapshot, w); err != nil {
		return false, fmt.Errorf("make layer %s from snapshot %s: %w", d, l.Snapshot, err)
	}
	made := content.WithLabels(map[string]string{labelMade: time.Now().Format(time.RFC3339)})
	if err := w.Commit(ctx, l.Size, d, made); err != nil && !errdefs.IsAlreadyExists(err) {
		return false, fmt.Errorf("make layer %s from snapshot %s: its files are no longer what was hashed: %w", d, l.Snapshot, err)
	}
	return true, nil
}

// leased gives a reader without a lease one for a while: until the blob is opened,
// or held, nothing else keeps it.
func (v *virtualStore) leased(ctx context.Context) (context.Context, error) {
	if _, has := leases.FromContext(ctx); has {
		return ctx, nil
	}
	l, err := v.store.leases.Create(ctx, leases.WithID("lus-made-"+ids.New()), leases.WithLabel(labelWork, "1"), leases.WithExpiration(keepMade))
	return leases.WithLease(ctx, l.ID), err
}

// Walk implements content.Store.
func (v *virtualStore) Walk(ctx context.Context, fn content.WalkFunc, filters ...string) error {
	return v.inner.Walk(v.store.Context(ctx), fn, filters...)
}

// Delete implements content.Store.
func (v *virtualStore) Delete(ctx context.Context, d digest.Digest) error {
	return v.inner.Delete(v.store.Context(ctx), d)
}

// ListStatuses implements content.Store.
func (v *virtualStore) ListStatuses(ctx context.Context, filters ...string) ([]content.Status, error) {
	return v.inner.ListStatuses(v.store.Context(ctx), filters...)
}

// Status implements content.Store.
func (v *virtualStore) Status(ctx context.Context, ref string) (content.Status, error) {
	return v.inner.Status(v.store.Context(ctx), ref)
}

// Abort implements content.Store.
func (v *virtualStore) Abort(ctx context.Context, ref string) error {
	return v.inner.Abort(v.store.Context(ctx), ref)
}

// Writer implements content.Store.
func (v *virtualStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := v.inner.Writer(v.store.Context(ctx), opts...)
	if err != nil {
		return nil, err
	}
	return &writer{Writer: w, within: v.store.Context}, nil
}

// writer adds the namespace to Commit.
type writer struct {
	content.Writer
	within func(context.Context) context.Context
}

// Commit implements content.Writer.
func (w *writer) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	return w.Writer.Commit(w.within(ctx), size, expected, opts...)
}

package content

import (
	"context"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	bolt "go.etcd.io/bbolt"
)

// update joins the transaction in ctx, or makes one.
func (s *Store) update(ctx context.Context, fn func(ctx context.Context) error) error {
	if _, ok := boltutil.Transaction(ctx); ok {
		return fn(ctx)
	}
	s.gc.RLock()
	defer s.gc.RUnlock()
	return s.db.Update(func(tx *bolt.Tx) error {
		return fn(boltutil.WithTransaction(ctx, tx))
	})
}

// view joins the transaction in ctx, or makes one that only reads.
func (s *Store) view(ctx context.Context, fn func(tx *bolt.Tx) error) error {
	if tx, ok := boltutil.Transaction(ctx); ok {
		return fn(tx)
	}
	return s.db.View(fn)
}

// snapshotter adds the namespace to each call.
type snapshotter struct {
	inner  snapshots.Snapshotter
	within func(context.Context) context.Context
}

// Stat implements snapshots.Snapshotter.
func (s *snapshotter) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	return s.inner.Stat(s.within(ctx), key)
}

// Update implements snapshots.Snapshotter.
func (s *snapshotter) Update(ctx context.Context, info snapshots.Info, fields ...string) (snapshots.Info, error) {
	return s.inner.Update(s.within(ctx), info, fields...)
}

// Usage implements snapshots.Snapshotter.
func (s *snapshotter) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	return s.inner.Usage(s.within(ctx), key)
}

// Mounts implements snapshots.Snapshotter.
func (s *snapshotter) Mounts(ctx context.Context, key string) ([]mount.Mount, error) {
	return s.inner.Mounts(s.within(ctx), key)
}

// Prepare implements snapshots.Snapshotter.
func (s *snapshotter) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.inner.Prepare(s.within(ctx), key, parent, opts...)
}

// View implements snapshots.Snapshotter.
func (s *snapshotter) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.inner.View(s.within(ctx), key, parent, opts...)
}

// Commit implements snapshots.Snapshotter.
func (s *snapshotter) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return s.inner.Commit(s.within(ctx), name, key, opts...)
}

// Remove implements snapshots.Snapshotter.
func (s *snapshotter) Remove(ctx context.Context, key string) error {
	return s.inner.Remove(s.within(ctx), key)
}

// Walk implements snapshots.Snapshotter.
func (s *snapshotter) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	return s.inner.Walk(s.within(ctx), fn, filters...)
}

// Close does nothing: the store closes what it opened.
func (s *snapshotter) Close() error { return nil }

// leaseManager adds the namespace to each call.
type leaseManager struct {
	inner  leases.Manager
	within func(context.Context) context.Context
}

// Create implements leases.Manager.
func (m *leaseManager) Create(ctx context.Context, opts ...leases.Opt) (leases.Lease, error) {
	return m.inner.Create(m.within(ctx), opts...)
}

// Delete implements leases.Manager.
func (m *leaseManager) Delete(ctx context.Context, l leases.Lease, opts ...leases.DeleteOpt) error {
	return m.inner.Delete(m.within(ctx), l, opts...)
}

// List implements leases.Manager.
func (m *leaseManager) List(ctx context.Context, filters ...string) ([]leases.Lease, error) {
	return m.inner.List(m.within(ctx), filters...)
}

// AddResource implements leases.Manager.
func (m *leaseManager) AddResource(ctx context.Context, l leases.Lease, r leases.Resource) error {
	return m.inner.AddResource(m.within(ctx), l, r)
}

// DeleteResource implements leases.Manager.
func (m *leaseManager) DeleteResource(ctx context.Context, l leases.Lease, r leases.Resource) error {
	return m.inner.DeleteResource(m.within(ctx), l, r)
}

// ListResources implements leases.Manager.
func (m *leaseManager) ListResources(ctx context.Context, l leases.Lease) ([]leases.Resource, error) {
	return m.inner.ListResources(m.within(ctx), l)
}

// imageStore adds the namespace to each call and counts the changes.
type imageStore struct {
	inner images.Store
	store *Store
}

// Get implements images.Store.
func (s *imageStore) Get(ctx context.Context, name string) (images.Image, error) {
	return s.inner.Get(s.store.Context(ctx), name)
}

// List implements images.Store.
func (s *imageStore) List(ctx context.Context, filters ...string) ([]images.Image, error) {
	return s.inner.List(s.store.Context(ctx), filters...)
}

// Create implements images.Store.
func (s *imageStore) Create(ctx context.Context, i images.Image) (images.Image, error) {
	defer s.store.changed(ctx)
	return s.inner.Create(s.store.Context(ctx), i)
}

// Update implements images.Store.
func (s *imageStore) Update(ctx context.Context, i images.Image, fields ...string) (images.Image, error) {
	defer s.store.changed(ctx)
	return s.inner.Update(s.store.Context(ctx), i, fields...)
}

// Delete implements images.Store.
func (s *imageStore) Delete(ctx context.Context, name string, opts ...images.DeleteOpt) error {
	defer s.store.changed(ctx)
	return s.inner.Delete(s.store.Context(ctx), name, opts...)
}

// changed counts a change of names: at once, or, within a transaction, when it
// has been committed, because a reader would else cache the state before.
func (s *Store) changed(ctx context.Context) {
	if tx, ok := boltutil.Transaction(ctx); ok {
		tx.OnCommit(func() { s.generation.Add(1) })
		return
	}
	s.generation.Add(1)
}

package content

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// LabelBackendKey is shown by Stat and Walk on every snapshot: the key of the
// backend snapshot behind the name. Two names with the same key are one
// snapshot. It is never stored.
const LabelBackendKey = "lus/backend-key"

// labelUpperdir is where the overlay snapshotter tells a snapshot's folder.
const labelUpperdir = "containerd.io/snapshot/overlay.upperdir"

// alias asks for a second name for a backend snapshot. It travels in the
// context, because the database between us and the caller hands nothing else
// through.
type alias struct {
	name string // the new name, as the snapshot.ref label has it
	key  string // the backend's key of the snapshot to be named
}

type aliasKey struct{}

// aliasing is the overlay snapshotter with one addition: the public way by
// which remote snapshotters say "I have that already" gives an existing
// snapshot a second name. Collection of snapshots goes by backend key over all
// names, so such a name is what a hard link is to a file.
type aliasing struct {
	snapshots.Snapshotter
}

// Stat adds the backend's key to what is known of a snapshot.
func (a *aliasing) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	info, err := a.Snapshotter.Stat(ctx, key)
	if err != nil {
		return info, err
	}
	if info.Labels == nil {
		info.Labels = map[string]string{}
	}
	info.Labels[LabelBackendKey] = key
	return info, nil
}

// Prepare answers AlreadyExists where the context asks for a name for a
// snapshot that is there.
func (a *aliasing) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	want, ok := ctx.Value(aliasKey{}).(alias)
	if !ok {
		return a.Snapshotter.Prepare(ctx, key, parent, opts...)
	}
	var asked snapshots.Info
	for _, o := range opts {
		if err := o(&asked); err != nil {
			return nil, err
		}
	}
	if asked.Labels[snapshots.LabelSnapshotRef] != want.name {
		return nil, fmt.Errorf("name for a snapshot: asked for %q, label says %q: %w", want.name, asked.Labels[snapshots.LabelSnapshotRef], errdefs.ErrInvalidArgument)
	}
	info, err := a.Snapshotter.Stat(ctx, want.key)
	if err != nil {
		return nil, err
	}
	if info.Kind != snapshots.KindCommitted || info.Parent != parent {
		return nil, fmt.Errorf("snapshot %q is %s over %q, not committed over %q: %w", want.key, info.Kind, info.Parent, parent, errdefs.ErrFailedPrecondition)
	}
	return nil, fmt.Errorf("snapshot %q: %w", want.key, errdefs.ErrAlreadyExists)
}

// Walk gives the snapshot to be named where the context asks for a name; the
// database looks for it so.
func (a *aliasing) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	want, ok := ctx.Value(aliasKey{}).(alias)
	if !ok {
		return a.Snapshotter.Walk(ctx, fn, filters...)
	}
	info, err := a.Snapshotter.Stat(ctx, want.key)
	if err != nil {
		return err
	}
	info.Labels = map[string]string{snapshots.LabelSnapshotRef: want.name}
	return fn(ctx, info)
}

// Cleanup removes the folders of removed snapshots; without it here the
// database would not see that the backend can.
func (a *aliasing) Cleanup(ctx context.Context) error {
	if c, ok := a.Snapshotter.(snapshots.Cleaner); ok {
		return c.Cleanup(ctx)
	}
	return nil
}

// NameSnapshot gives the committed snapshot called existing the second name
// name, below parent, whose backend snapshot must be the true parent. A name
// that is there already stays what it is. A lease in ctx holds the new name.
func (s *Store) NameSnapshot(ctx context.Context, name, existing, parent string, labels map[string]string) error {
	ctx = s.Context(ctx)
	key, err := s.BackendKey(ctx, existing)
	if err != nil {
		return err
	}
	all := map[string]string{snapshots.LabelSnapshotRef: name}
	for k, v := range labels {
		all[k] = v
	}
	ctx = context.WithValue(ctx, aliasKey{}, alias{name: name, key: key})
	_, err = s.db.Snapshotter(SnapshotterName).Prepare(ctx, "name-"+name, parent, snapshots.WithLabels(all))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		return fmt.Errorf("name %s for snapshot %s: the backend made a new one", name, existing)
	}
	return fmt.Errorf("name %s for snapshot %s: %w", name, existing, err)
}

// BackendKey is the key of the backend snapshot behind a name.
func (s *Store) BackendKey(ctx context.Context, name string) (string, error) {
	info, err := s.snaps.Stat(ctx, name)
	if err != nil {
		return "", err
	}
	return info.Labels[LabelBackendKey], nil
}

// BackendKeys lists every snapshot's name with its backend key.
func (s *Store) BackendKeys(ctx context.Context) (map[string]string, error) {
	keys := map[string]string{}
	err := s.snaps.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		keys[i.Name] = i.Labels[LabelBackendKey]
		return nil
	})
	return keys, err
}

package content

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Layer is one layer as an uncompressed tar would hold it.
type Layer struct {
	// Snapshot is the name of the snapshot whose own folder is this layer.
	Snapshot string
	DiffID   digest.Digest
	Size     int64 // of the tar
	// Blob is the layer as it was pulled, where it was. A new image's manifest
	// then names it: a tar written anew need not have the same bytes.
	Blob ocispecs.Descriptor
}

// Dirs are the folders of a snapshot and those below it, topmost first, ready
// to be the lower folders of an overlay. It only reads.
func (s *Store) Dirs(ctx context.Context, name string) ([]string, error) {
	var dirs []string
	for name != "" {
		info, err := s.snaps.Stat(ctx, name)
		if err != nil {
			return nil, err
		}
		if info.Kind != snapshots.KindCommitted {
			return nil, fmt.Errorf("snapshot %s is %s: %w", name, info.Kind, errdefs.ErrFailedPrecondition)
		}
		dirs = append(dirs, info.Labels[labelUpperdir])
		name = info.Parent
	}
	return dirs, nil
}

// Folder is a snapshot's own folder: what it changes of its parent, in the
// words of overlayfs.
func (s *Store) Folder(ctx context.Context, name string) (string, error) {
	info, err := s.snaps.Stat(ctx, name)
	if err != nil {
		return "", err
	}
	return info.Labels[labelUpperdir], nil
}

// WriteLayer writes a committed snapshot's layer as a tar. The same snapshot
// gives the same bytes each time.
func (s *Store) WriteLayer(ctx context.Context, name string, w io.Writer) error {
	dirs, err := s.Dirs(ctx, name)
	if err != nil {
		return err
	}
	return writeLayer(s.Context(ctx), w, dirs)
}

// readOnly is the mount that shows folders, topmost first, as one.
func readOnly(dirs []string) []mount.Mount {
	switch len(dirs) {
	case 0:
		return nil
	case 1:
		return []mount.Mount{{Type: "bind", Source: dirs[0], Options: []string{"ro", "rbind"}}}
	}
	return []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{
		"lowerdir=" + strings.Join(dirs, ":"), "index=off",
	}}}
}

// Hash returns a committed snapshot's layer: its diff id and the size of its
// tar. It reads the layer once per backend snapshot.
func (s *Store) Hash(ctx context.Context, name string) (Layer, error) {
	key, err := s.BackendKey(ctx, name)
	if err != nil {
		return Layer{}, err
	}
	if l, ok := s.hashes.Load(key); ok {
		known := l.(Layer)
		known.Snapshot = name
		return known, nil
	}
	d := digest.Canonical.Digester()
	n := &counter{w: d.Hash()}
	if err := s.WriteLayer(ctx, name, n); err != nil {
		return Layer{}, fmt.Errorf("read the layer %s: %w", name, err)
	}
	l := Layer{Snapshot: name, DiffID: d.Digest(), Size: n.n}
	s.hashes.Store(key, l)
	return l, nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

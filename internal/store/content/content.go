// Package content is the one store: sha256 blobs, the overlay snapshots made
// of them, and one metadata database with leases and garbage collection over
// both. Pull, import, build, run and save all work on it, so an image that was
// built is at once runnable without a second copy of its files.
//
// Its types are containerd's. They are meant for service/image and
// service/build; nothing above them sees one.
package content

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/log"
	bolt "go.etcd.io/bbolt"
	errbolt "go.etcd.io/bbolt/errors"

	"lus/internal/base/errs"
)

const (
	// Namespace is the one containerd namespace. Every accessor adds it to the
	// context by itself.
	Namespace = "lus"
	// SnapshotterName is what labels and leases call the snapshotter. BuildKit
	// merges by hard links only under this name.
	SnapshotterName = "overlayfs"
)

// Options change how a store is opened.
type Options struct {
	Log *slog.Logger
	// LockTimeout is how long to wait for another process to let go of the
	// databases; zero means two seconds.
	LockTimeout time.Duration
}

// Store is the one store. Its methods may be called from many goroutines.
type Store struct {
	root  string
	log   *slog.Logger
	entry *log.Entry // the same for containerd

	bolt    *bolt.DB
	db      *metadata.DB
	backend *aliasing // below the database: keys, not names
	content *virtualStore
	snaps   snapshots.Snapshotter
	images  *imageStore
	leases  leases.Manager
	applier diff.Applier
	differ  diff.Comparer

	ready      atomic.Bool
	generation atomic.Uint64
	// gc is held by the collector, and shared by transactions of our own. Those
	// take containerd's locks after the database's, all others before it; with
	// a collector waiting for the same locks in between, that is a deadlock.
	gc     sync.RWMutex
	marked bool // the first collection has looked for orphans; under gc

	hashes sync.Map // backend key -> Layer, without its snapshot's name
}

// Open opens the store below root, making it where there is none. Work that a
// former process left half done is removed; garbage is not collected before
// Ready.
func Open(ctx context.Context, root string, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = 2 * time.Second
	}
	s := &Store{root: root, log: o.Log, entry: handOver(o.Log)}
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, fmt.Errorf("make the folder of the images: %w", err)
	}
	if err := s.open(o.LockTimeout); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.tidy(s.Context(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("tidy the image store %s: %w", root, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(lock time.Duration) error {
	options := *bolt.DefaultOptions
	options.Timeout = lock
	db, err := bolt.Open(filepath.Join(s.root, "meta.db"), 0o600, &options)
	if err != nil {
		return s.openError("meta.db", err)
	}
	s.bolt = db
	blobs, err := s.openBlobs()
	if err != nil {
		return fmt.Errorf("open the blobs in %s: %w", s.root, err)
	}
	if s.backend, err = s.openSnapshots(lock); err != nil {
		return s.openError("snapshots", err)
	}
	s.db = metadata.NewDB(db, blobs, map[string]snapshots.Snapshotter{SnapshotterName: s.backend})
	if err := s.db.Init(s.Context(context.Background())); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(s.root, "meta.db"), err)
	}
	s.snaps = &snapshotter{inner: s.db.Snapshotter(SnapshotterName), within: s.Context}
	s.leases = &leaseManager{inner: metadata.NewLeaseManager(s.db), within: s.Context}
	s.images = &imageStore{inner: metadata.NewImageStore(s.db), store: s}
	s.content = &virtualStore{inner: s.db.ContentStore(), store: s}
	s.applier = apply.NewFileSystemApplier(s.content)
	s.differ = walking.NewWalkingDiff(s.content)
	return nil
}

// openBlobs opens the blobs. Most ingests of a former process are of no use to
// anybody: their rows go in tidy, their folders here.
func (s *Store) openBlobs() (content.Store, error) {
	dir := filepath.Join(s.root, "content")
	if err := removeIngests(filepath.Join(dir, "ingest")); err != nil {
		return nil, err
	}
	return local.NewStore(dir)
}

func (s *Store) openSnapshots(lock time.Duration) (*aliasing, error) {
	dir := filepath.Join(s.root, SnapshotterName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ms, err := storage.NewMetaStore(filepath.Join(dir, "snapshots.db"), func(o *bolt.Options) error {
		o.Timeout = lock
		return nil
	})
	if err != nil {
		return nil, err
	}
	sn, err := overlay.NewSnapshotter(dir, overlay.WithUpperdirLabel, overlay.WithMetaStore(ms))
	if err != nil {
		return nil, errors.Join(err, ms.Close())
	}
	return &aliasing{Snapshotter: sn}, nil
}

func (s *Store) openError(what string, err error) error {
	if errors.Is(err, errbolt.ErrTimeout) {
		return errs.New(errs.Conflict, "the image store %s is in use by another process: stop the other daemon, or give this one its own --root", s.root)
	}
	return fmt.Errorf("open %s of the image store %s: %w", what, s.root, err)
}

// Close closes the databases. Nothing may use the store afterwards.
func (s *Store) Close() error {
	s.gc.Lock()
	defer s.gc.Unlock()
	s.ready.Store(false)
	var err error
	if s.db != nil {
		err = s.db.Close() // waits for a collection and closes bolt
	} else if s.bolt != nil {
		err = s.bolt.Close()
	}
	if s.backend != nil {
		err = errors.Join(err, s.backend.Close())
	}
	s.db, s.bolt, s.backend = nil, nil, nil
	return err
}

// Context adds the store's namespace and its logger to ctx.
func (s *Store) Context(ctx context.Context) context.Context {
	if ns, ok := namespaces.Namespace(ctx); ok && ns == Namespace {
		return ctx
	}
	return namespaces.WithNamespace(log.WithLogger(ctx, s.entry), Namespace)
}

// ContentStore is the blobs, those that are only made when read included.
func (s *Store) ContentStore() content.Store { return s.content }

// Snapshotter is the snapshots by name.
func (s *Store) Snapshotter() snapshots.Snapshotter { return s.snaps }

// DB is the metadata database. Never use bbolt's Batch on it: containerd calls
// the backend inside transactions, and Batch may run those twice.
func (s *Store) DB() *metadata.DB { return s.db }

// Leases is the lease manager.
func (s *Store) Leases() leases.Manager { return s.leases }

// ImageStore is the names of images.
func (s *Store) ImageStore() images.Store { return s.images }

// Applier unpacks layers.
func (s *Store) Applier() diff.Applier { return s.applier }

// Differ makes layers by walking two file systems.
func (s *Store) Differ() diff.Comparer { return s.differ }

// Generation changes whenever a name of an image does: whoever caches names
// compares it.
func (s *Store) Generation() uint64 { return s.generation.Load() }

// Update runs fn in one transaction of the metadata database: whatever fn does
// with the context it is given is made durable together, or not at all.
func (s *Store) Update(ctx context.Context, fn func(ctx context.Context) error) error {
	return s.update(s.Context(ctx), fn)
}

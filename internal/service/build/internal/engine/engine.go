// Package engine is BuildKit inside the daemon: its solver and its Dockerfile
// frontend over the one store, with our executor and our exporter. No type of
// BuildKit's leaves this folder's parent, and none of its programs is started.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/cache/remotecache"
	inlinecache "github.com/moby/buildkit/cache/remotecache/inline"
	localcache "github.com/moby/buildkit/cache/remotecache/local"
	registrycache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/solver/llbsolver/cdidevices"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/worker"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/semaphore"

	"lus/internal/store/content"
)

// Options are what an Engine stands on.
type Options struct {
	// Root is a folder for BuildKit's cache records. They are only cache: it
	// may be deleted while nobody uses it.
	Root     string
	Store    *content.Store
	Executor executor.Executor
	Log      *slog.Logger
	// Hosts says how registries are reached; nil is the usual way.
	Hosts docker.RegistryHosts
	// Stall is how long a server of files and contexts may send nothing.
	Stall time.Duration
	// Devices are those that steps may ask for by name; nil: there are none.
	Devices *cdidevices.Manager
	// Provenance is a folder of *.json files whose fields stand in the provenance
	// of every build; empty: none.
	Provenance string
	// Parallel bounds how many steps run at once; 0 is twice the processors.
	Parallel int64
	// Allow lists the entitlements that builds may ask for.
	Allow []string
	// Frontends are offered beside the Dockerfile's.
	Frontends func(worker.Infos) map[string]frontend.Frontend
	// Built is told of each image that came to be; nil tells nobody.
	Built func(ctx context.Context, id string)
	// Failed is told of each build that failed, whoever asked for it; nil tells
	// nobody.
	Failed func(context.Context, error)
	// Gateway is the host's address as build steps reach it, for host-gateway;
	// nil or empty: there is none.
	Gateway func() string
}

// Engine solves builds.
type Engine struct {
	control  *control.Controller
	wire     *wire
	sessions *session.Manager
	worker   *buildWorker
	log      *slog.Logger
	failed   func(context.Context, error)
	closers  []func() error
}

// Open wires everything up. It does not wait for anything but the disk.
func Open(ctx context.Context, o Options) (_ *Engine, err error) {
	if err := os.MkdirAll(o.Root, 0o700); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Failed == nil {
		o.Failed = func(context.Context, error) {}
	}
	e := &Engine{log: o.Log, failed: o.Failed}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if o.Parallel == 0 {
		o.Parallel = int64(2 * runtime.NumCPU())
	}
	if e.sessions, err = session.NewManager(); err != nil {
		return nil, err
	}
	if e.worker, err = newWorker(ctx, o, semaphore.NewWeighted(o.Parallel)); err != nil {
		return nil, fmt.Errorf("the builder's cache: %w", err)
	}
	workers := &worker.Controller{}
	if err := workers.Add(e.worker); err != nil {
		return nil, errors.Join(err, e.worker.Close())
	}
	if err := e.openControl(o, workers); err != nil {
		return nil, err
	}
	e.wire = serveWire(e.control, e.log, e.failed)
	e.onClose(e.wire.close)
	return e, nil
}

func (e *Engine) onClose(f func() error) { e.closers = append(e.closers, f) }

// What is kept of the builds that came over the wire, for `docker buildx
// history`. Builds of Lus's own commands are not recorded here.
const (
	keptBuilds  = 50
	keptBuildsS = 48 * 60 * 60
)

// openControl makes the solver and BuildKit's own interface to it. What was
// opened for it is its to close, once it is there.
func (e *Engine) openControl(o Options, workers *worker.Controller) (err error) {
	var opened []func() error
	opened = append(opened, workers.Close)
	defer func() {
		for i := len(opened) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, opened[i]())
		}
	}()
	keys, err := bboltcachestorage.NewStore(filepath.Join(o.Root, "cache.db"))
	if err != nil {
		return err
	}
	opened = append(opened, keys.Close)
	past, err := boltutil.SafeOpen(filepath.Join(o.Root, "history.db"), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		return err
	}
	opened = append(opened, past.Close)
	frontends, err := openFrontends(o, workers)
	if err != nil {
		return err
	}
	known, err := provenance(o.Provenance)
	if err != nil {
		return err
	}
	most := int64(keptBuilds)
	e.control, err = control.NewController(control.Opt{
		SessionManager:            e.sessions,
		WorkerController:          workers,
		Frontends:                 frontends,
		CacheManager:              solver.NewCacheManager(context.Background(), "local", keys, worker.NewCacheResultStorage(workers)),
		ResolveCacheExporterFuncs: e.cacheExporters(o),
		ResolveCacheImporterFuncs: e.cacheImporters(o),
		Entitlements:              o.Allow,
		HistoryDB:                 past,
		HistoryConfig:             &config.HistoryConfig{MaxEntries: &most, MaxAge: config.Duration{Duration: keptBuildsS * time.Second}},
		CacheStore:                keys,
		LeaseManager:              e.worker.LeaseManager(),
		ContentStore:              e.worker.ContentStore(),
		GarbageCollect:            e.worker.GarbageCollect,
		ProvenanceEnv:             known,
	})
	if err != nil {
		return err
	}
	e.onClose(e.control.Close)
	return nil
}

// cacheExporters and cacheImporters are the places beside the store where a
// build's cache may go and come from.
func (e *Engine) cacheExporters(o Options) map[string]remotecache.ResolveCacheExporterFunc {
	return map[string]remotecache.ResolveCacheExporterFunc{
		"inline":   inlinecache.ResolveCacheExporterFunc(),
		"local":    localcache.ResolveCacheExporterFunc(e.sessions),
		"registry": registrycache.ResolveCacheExporterFunc(e.sessions, o.Hosts),
	}
}

func (e *Engine) cacheImporters(o Options) map[string]remotecache.ResolveCacheImporterFunc {
	blobs := e.worker.ContentStore()
	return map[string]remotecache.ResolveCacheImporterFunc{
		"local":    localcache.ResolveCacheImporterFunc(e.sessions),
		"registry": registrycache.ResolveCacheImporterFunc(e.sessions, blobs, o.Hosts),
	}
}

// Close ends what Open began, the last first.
func (e *Engine) Close() error {
	var all []error
	for i := len(e.closers) - 1; i >= 0; i-- {
		all = append(all, e.closers[i]())
	}
	e.closers = nil
	return errors.Join(all...)
}

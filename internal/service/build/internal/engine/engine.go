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

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/solver/llbsolver"
	"github.com/moby/buildkit/solver/llbsolver/history"
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
	// Parallel bounds how many steps run at once; 0 is twice the processors.
	Parallel int64
	// Frontends are offered beside the Dockerfile's.
	Frontends func(worker.Infos) map[string]frontend.Frontend
}

// Engine solves builds.
type Engine struct {
	solver   *llbsolver.Solver
	sessions *session.Manager
	worker   *buildWorker
	log      *slog.Logger
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
	e := &Engine{log: o.Log}
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
	e.onClose(e.worker.Close)
	workers := &worker.Controller{}
	if err := workers.Add(e.worker); err != nil {
		return nil, err
	}
	return e, e.openSolver(o, workers)
}

func (e *Engine) onClose(f func() error) { e.closers = append(e.closers, f) }

func (e *Engine) openSolver(o Options, workers *worker.Controller) error {
	keys, err := bboltcachestorage.NewStore(filepath.Join(o.Root, "cache.db"))
	if err != nil {
		return err
	}
	e.onClose(keys.Close)
	past, err := e.openHistory(o)
	if err != nil {
		return err
	}
	frontends, err := openFrontends(o, workers)
	if err != nil {
		return err
	}
	e.solver, err = llbsolver.New(llbsolver.Opt{
		WorkerController: workers,
		Frontends:        frontends,
		CacheManager:     solver.NewCacheManager(context.Background(), "local", keys, worker.NewCacheResultStorage(workers)),
		SessionManager:   e.sessions,
		Entitlements:     []string{"network.host"},
		HistoryQueue:     past,
	})
	if err != nil {
		return err
	}
	e.onClose(e.solver.Close)
	return nil
}

// openHistory opens what the solver insists on. Nothing is recorded: builds
// are solved as internal ones, and the records of builds are Lus's own.
func (e *Engine) openHistory(o Options) (*history.Queue, error) {
	db, err := boltutil.SafeOpen(filepath.Join(o.Root, "history.db"), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	e.onClose(db.Close)
	none := int64(0)
	return history.NewQueue(history.QueueOpt{
		DB:             db,
		LeaseManager:   e.worker.LeaseManager(),
		ContentStore:   e.worker.ContentStore(),
		CleanConfig:    &config.HistoryConfig{MaxEntries: &none},
		GarbageCollect: e.worker.GarbageCollect,
	})
}

func openFrontends(o Options, workers *worker.Controller) (map[string]frontend.Frontend, error) {
	out := map[string]frontend.Frontend{}
	if o.Frontends != nil {
		out = o.Frontends(workers.Infos())
	}
	out["dockerfile.v0"] = forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build)
	external, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	out["gateway.v0"] = external
	return out, nil
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

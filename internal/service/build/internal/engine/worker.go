package engine

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache"
	cachemetadata "github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	imagewriter "github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/source"
	"github.com/moby/buildkit/source/containerblob"
	"github.com/moby/buildkit/source/containerimage"
	"github.com/moby/buildkit/source/git"
	"github.com/moby/buildkit/source/http"
	srctypes "github.com/moby/buildkit/source/types"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/semaphore"

	"lus/internal/service/build/internal/copies"
	"lus/internal/service/build/internal/export"
	"lus/internal/service/build/internal/folder"
	"lus/internal/service/build/internal/repos"
	"lus/internal/store/content"
)

// buildWorker is BuildKit's worker with parts of our own: the exporter of
// images (exporters.go), the source of this host's folders, and (in newWorker)
// the check whether an image uses what the cache would prune.
type buildWorker struct {
	*base.Worker
	images  *export.Exporter
	writer  *imagewriter.ImageWriter
	folders *folder.Source
	repos   *repos.Source // nil where there is no git
	store   *content.Store
	gateway func() string
}

// labelGateway tells clients what host-gateway stands for in --add-host.
const labelGateway = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"

// Labels implements worker.Worker.
func (w *buildWorker) Labels() map[string]string {
	labels := maps.Clone(w.Worker.Labels())
	if w.gateway != nil {
		if ip := w.gateway(); ip != "" {
			labels[labelGateway] = ip
		}
	}
	return labels
}

// ResolveOp implements worker.Worker.
func (w *buildWorker) ResolveOp(v solver.Vertex, s frontend.FrontendLLBBridge, sm *session.Manager, proxy worker.ProxyOpt) (solver.Op, error) {
	if o, ok := v.Sys().(*pb.Op); ok {
		if f, ok := o.Op.(*pb.Op_File); ok {
			return copies.NewOp(v, f, w.Worker, w.store)
		}
	}
	return w.Worker.ResolveOp(v, s, sm, proxy)
}

// ResolveSourceMetadata implements worker.Worker.
func (w *buildWorker) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt, sm *session.Manager, job solver.JobContext) (*sourceresolver.MetaResponse, error) {
	if w.repos != nil && strings.HasPrefix(op.Identifier, srctypes.GitScheme+"://") {
		defer w.repos.Watch()()
	}
	return w.Worker.ResolveSourceMetadata(ctx, op, opt, sm, job)
}

func newWorker(ctx context.Context, o Options, parallel *semaphore.Weighted) (_ *buildWorker, err error) {
	opt, err := workerOptions(o, parallel)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil { // left open, the next try would wait for it for ever
			err = errors.Join(err, opt.MetadataStore.Close())
		}
	}()
	w := &base.Worker{WorkerOpt: opt}
	w.CacheMgr, err = cache.NewManager(cache.ManagerOpt{
		Snapshotter:     opt.Snapshotter,
		PruneRefChecker: inUse(o.Store, opt.MetadataStore),
		Applier:         opt.Applier,
		GarbageCollect:  opt.GarbageCollect,
		LeaseManager:    opt.LeaseManager,
		ContentStore:    opt.ContentStore,
		Differ:          opt.Differ,
		MetadataStore:   opt.MetadataStore,
		Root:            opt.Root,
		MountPoolRoot:   opt.MountPoolRoot,
	})
	if err != nil {
		return nil, err
	}
	folders, repositories, err := addSources(w, o.Stall)
	if err != nil {
		return nil, err
	}
	if err := dropTemporaryLeases(ctx, opt.LeaseManager); err != nil {
		return nil, err
	}
	writer, err := imagewriter.NewImageWriter(imagewriter.WriterOpt{
		Snapshotter: opt.Snapshotter, ContentStore: opt.ContentStore, Applier: opt.Applier, Differ: opt.Differ,
	})
	if err != nil {
		return nil, err
	}
	return &buildWorker{
		Worker: w, folders: folders, repos: repositories, store: o.Store, writer: writer, gateway: o.Gateway,
		images: export.New(export.Options{Store: o.Store, Content: opt.ContentStore, Built: o.Built}),
	}, nil
}

func workerOptions(o Options, parallel *semaphore.Weighted) (base.WorkerOpt, error) {
	id, err := base.ID(o.Root)
	if err != nil {
		return base.WorkerOpt{}, err
	}
	pool := filepath.Join(o.Root, "mounts")
	if err := os.MkdirAll(pool, 0o700); err != nil {
		return base.WorkerOpt{}, err
	}
	md, err := cachemetadata.NewStore(filepath.Join(o.Root, "metadata_v2.db"))
	if err != nil {
		return base.WorkerOpt{}, err
	}
	relax(md)
	chains := namedChains{Snapshotter: o.Store.Snapshotter(), store: o.Store}
	blobs := containerdsnapshot.NewContentStore(forgetting{o.Store.ContentStore()}, content.Namespace)
	return base.WorkerOpt{
		ID:             id,
		Root:           o.Root,
		Labels:         map[string]string{"org.mobyproject.buildkit.worker.executor": "lus", "org.mobyproject.buildkit.worker.snapshotter": content.SnapshotterName},
		Platforms:      []ocispecs.Platform{platforms.Normalize(platforms.DefaultSpec())},
		Executor:       o.Executor,
		Snapshotter:    containerdsnapshot.NewSnapshotter(content.SnapshotterName, chains, content.Namespace, nil),
		ContentStore:   blobs,
		Applier:        o.Store.Applier(),
		Differ:         o.Store.Differ(),
		ImageStore:     o.Store.ImageStore(),
		RegistryHosts:  o.Hosts,
		LeaseManager:   leaseutil.WithNamespace(o.Store.Leases(), content.Namespace),
		GarbageCollect: o.Store.GarbageCollect,
		ParallelismSem: parallel,
		MetadataStore:  md,
		MountPoolRoot:  pool,
		CDIManager:     o.Devices,
	}, nil
}

// relax stops the syncs of a database that is only cache: after a power cut it
// may be stale or broken, and is then begun anew.
func relax(md *cachemetadata.Store) {
	_ = md.DB().View(func(tx *bbolt.Tx) error {
		tx.DB().NoSync = true
		return nil
	})
}

func addSources(w *base.Worker, limit time.Duration) (*folder.Source, *repos.Source, error) {
	sm, err := source.NewManager()
	if err != nil {
		return nil, nil, err
	}
	opt := containerimage.SourceOpt{
		Snapshotter:   w.WorkerOpt.Snapshotter,
		ContentStore:  w.WorkerOpt.ContentStore,
		Applier:       w.WorkerOpt.Applier,
		ImageStore:    w.WorkerOpt.ImageStore,
		CacheAccessor: w.CacheMgr,
		RegistryHosts: w.WorkerOpt.RegistryHosts,
		ResolverType:  containerimage.ResolverTypeRegistry,
		LeaseManager:  w.WorkerOpt.LeaseManager,
	}
	if w.ImageSource, err = containerimage.NewSource(opt); err != nil {
		return nil, nil, err
	}
	sm.Register(w.ImageSource)
	opt.RegistryHosts, opt.ResolverType = nil, containerimage.ResolverTypeOCILayout
	if w.OCILayoutSource, err = containerimage.NewSource(opt); err != nil {
		return nil, nil, err
	}
	sm.Register(w.OCILayoutSource)
	blobs, err := containerblob.NewSource(containerblob.SourceOpt{
		ContentStore: w.WorkerOpt.ContentStore, CacheAccessor: w.CacheMgr, RegistryHosts: w.WorkerOpt.RegistryHosts,
	})
	if err != nil {
		return nil, nil, err
	}
	sm.Register(blobs)
	var repositories *repos.Source
	if git.Supported() == nil {
		if repositories, err = repos.New(git.Opt{CacheAccessor: w.CacheMgr, RegistryHosts: w.WorkerOpt.RegistryHosts}, limit); err != nil {
			return nil, nil, err
		}
		sm.Register(repositories)
		w.GitSource = repositories.Source
	}
	if w.HTTPSource, err = http.NewSource(http.Opt{CacheAccessor: w.CacheMgr, Transport: downloads(limit)}); err != nil {
		return nil, nil, err
	}
	sm.Register(w.HTTPSource)
	files, err := folder.New(w.CacheMgr)
	if err != nil {
		return nil, nil, err
	}
	sm.Register(files)
	w.SourceManager = sm
	return files, repositories, nil
}

// dropTemporaryLeases ends the leases of builds that a killed daemon had begun.
func dropTemporaryLeases(ctx context.Context, lm *leaseutil.Manager) error {
	left, err := lm.List(ctx, `labels."buildkit/lease.temporary"`)
	if err != nil {
		return err
	}
	for _, l := range left {
		if err := lm.Delete(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

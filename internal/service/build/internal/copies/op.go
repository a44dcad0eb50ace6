// Package copies runs a build's file steps (COPY, ADD, WORKDIR). A folder that
// is copied goes by a way of its own: straight into the folder of the new layer
// and several files at once, where BuildKit writes one after the other through
// the overlay. What is special about a copy is left to BuildKit, and the layer
// is the same either way.
package copies

import (
	"context"
	"sync"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/llbsolver/file"
	"github.com/moby/buildkit/solver/llbsolver/ops"
	"github.com/moby/buildkit/solver/llbsolver/ops/fileoptypes"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"

	"lus/internal/base/errs"
	"lus/internal/store/content"
)

// op is a file step: BuildKit's, with a backend of ours.
type op struct {
	solver.Op
	name   string
	file   *pb.FileOp
	worker *base.Worker
	store  *content.Store
}

// NewOp returns the op of a vertex.
func NewOp(v solver.Vertex, o *pb.Op_File, w *base.Worker, s *content.Store) (solver.Op, error) {
	inner, err := ops.NewFileOp(v, o, w.CacheMgr, w.ParallelismSem, w)
	if err != nil {
		return nil, err
	}
	return &op{Op: inner, name: v.Name(), file: o.File, worker: w, store: s}, nil
}

// Exec implements solver.Op.
func (o *op) Exec(ctx context.Context, job solver.JobContext, inputs []solver.Result) ([]solver.Result, error) {
	if !o.copiesFolder() {
		return o.Op.Exec(ctx, job, inputs)
	}
	var in []fileoptypes.Ref
	for _, i := range inputs {
		ref, ok := i.Sys().(*worker.WorkerRef)
		if !ok {
			return nil, errs.New(errs.Internal, "a file step got %T to work on", i.Sys())
		}
		in = append(in, ref.ImmutableRef)
	}
	own, err := file.NewFileOpBackend(readUser)
	if err != nil {
		return nil, err
	}
	r := &refs{cache: o.worker.CacheMgr, name: o.name, snapshots: map[fileoptypes.Mount]string{}}
	b := &backend{Backend: own, refs: r, store: o.store}
	out, err := ops.NewFileOpSolver(o.worker, b, r).Solve(ctx, in, o.file.Actions, job.Session())
	if err != nil {
		return nil, err
	}
	var results []solver.Result
	for _, ref := range out {
		results = append(results, worker.NewWorkerRefResult(ref.(cache.ImmutableRef), o.worker))
	}
	return results, nil
}

// copiesFolder tells whether one of the actions may be a copy of a folder. What
// an action removes leaves whiteouts in the layer, which would be in the way.
func (o *op) copiesFolder() bool {
	copies := false
	for _, a := range o.file.Actions {
		if a.GetRm() != nil {
			return false
		}
		if c := a.GetCopy(); c != nil && plain(c) {
			copies = true
		}
	}
	return copies
}

// refs is BuildKit's maker of layers, and knows their snapshots.
type refs struct {
	cache cache.Manager
	name  string

	mu        sync.Mutex
	snapshots map[fileoptypes.Mount]string
}

// Prepare implements fileoptypes.RefManager.
func (r *refs) Prepare(ctx context.Context, ref fileoptypes.Ref, readonly bool, g session.Group) (fileoptypes.Mount, error) {
	c := &recorder{Manager: r.cache}
	m, err := file.NewRefManager(c, r.name).Prepare(ctx, ref, readonly, g)
	if err != nil || c.made == nil {
		return m, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snapshots[m] = c.made.GetString(keySnapshot)
	return m, nil
}

// keySnapshot is where BuildKit keeps the name of a record's snapshot.
const keySnapshot = "cache.snapshot"

// Commit implements fileoptypes.RefManager.
func (r *refs) Commit(ctx context.Context, m fileoptypes.Mount) (fileoptypes.Ref, error) {
	return file.NewRefManager(r.cache, r.name).Commit(ctx, m)
}

// snapshot is the snapshot that is written to through m.
func (r *refs) snapshot(m fileoptypes.Mount) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, ok := r.snapshots[m]
	return name, ok && name != ""
}

// recorder remembers the record that was made.
type recorder struct {
	cache.Manager
	made cache.MutableRef
}

// New implements cache.Manager.
func (c *recorder) New(ctx context.Context, parent cache.ImmutableRef, g session.Group, opts ...cache.RefOption) (cache.MutableRef, error) {
	ref, err := c.Manager.New(ctx, parent, g, opts...)
	if err == nil {
		c.made = ref
	}
	return ref, err
}

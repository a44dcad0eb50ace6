// Package build builds images from Dockerfiles: BuildKit's solver and frontend
// inside this process, over the one store, with RUN steps as containers of our
// own runtime. What was built is at once runnable, without a copy.
//
// BuildKit is opened at the first build, so that a daemon that builds nothing
// neither waits for it nor pays for it.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/solver/llbsolver/cdidevices"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/service/build/internal/engine"
	"lus/internal/service/build/internal/executor"
	"lus/internal/service/build/internal/report"
	"lus/internal/store/content"
)

// Runtime is what the builder asks of the runtime.
type Runtime = executor.Runtime

// Network joins the network namespace of a RUN step to the default network.
type Network = executor.Network

// Deps are what the builder stands on.
type Deps struct {
	// Root is the builder's own folder; it holds only cache.
	Root string
	// Temp is a folder of this daemon's own that TMPDIR names; empty: TMPDIR is
	// everybody's.
	Temp    string
	Store   *content.Store
	Runtime Runtime
	Network Network // nil: RUN steps have a loopback interface only
	Cgroup  string  // parent of the steps' cgroups, relative to every hierarchy's root
	Log     *slog.Logger
	// AppArmor is the profile of RUN steps, which it loads; nil or empty: none.
	AppArmor func() (string, error)
	// Built is told of each image that came to be, while its build still runs;
	// nil tells nobody.
	Built func(ctx context.Context, imageID string)
	// Gateway is this host's address as build steps reach it, which host-gateway
	// stands for; nil or empty: there is none.
	Gateway func() string
	// Allow lists what a build may have where it and its client ask for it:
	// network.host, security.insecure. All else is refused.
	Allow []string
	// Hosts says how registries are reached; nil is the usual way. Who asks is
	// the client's session to say.
	Hosts docker.RegistryHosts
	// Stall is how long a server may send nothing that files, contexts and
	// Dockerfiles come from; 0 means 30 s.
	Stall time.Duration
	// Provenance is a folder of *.json files whose fields stand in the provenance
	// of every build; empty: none.
	Provenance string
	// Devices are those that RUN steps may ask for by name (RUN --device); nil:
	// there are none.
	Devices *cdi.Cache
	// MaxCache bounds the build cache in bytes; 0 means 20 GB.
	MaxCache int64
}

// Service builds images.
type Service struct {
	d       Deps
	running sync.WaitGroup // builds
	wake    chan struct{}  // after a build: look at the cache's size
	full    atomic.Bool    // a build ended for want of space
	known   report.Known   // the steps of classic builds

	mu      sync.Mutex
	users   int     // of what is open
	open    *opened // nil until the first build
	cleaned bool    // what a killed daemon left is gone
	closed  bool
}

// What a build may be allowed, in BuildKit's words.
const (
	allowHostNetwork = "network.host"
	allowInsecure    = "security.insecure"
	// allowDevice lets a build ask for devices by name, where its client does.
	allowDevice = "device"
)

// opened is BuildKit with its executor.
type opened struct {
	engine *engine.Engine
	exec   *executor.Executor
}

// New returns a Service. It touches nothing but its own folder.
func New(d Deps) (*Service, error) {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.MaxCache == 0 {
		d.MaxCache = 20 << 30
	}
	if d.Stall == 0 {
		d.Stall = 30 * time.Second
	}
	for _, a := range d.Allow {
		if a != allowHostNetwork && a != allowInsecure {
			return nil, errs.New(errs.Invalid, "builds cannot be allowed %q: it can be %s or %s", a, allowHostNetwork, allowInsecure)
		}
	}
	if err := os.MkdirAll(d.Root, 0o700); err != nil {
		return nil, fmt.Errorf("make the builder's folder: %w", err)
	}
	s := &Service{d: d, wake: make(chan struct{}, 1)}
	s.removeContexts()
	return s, nil
}

// Run keeps the cache within its bounds until ctx ends, then waits for the
// builds, whose callers have cancelled them by then, and closes BuildKit.
func (s *Service) Run(ctx context.Context) error {
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return s.Close()
		case <-s.wake:
			quiet = time.After(settle)
			continue
		case <-quiet:
			quiet = nil
		}
		if err := s.tidy(ctx); err != nil && ctx.Err() == nil {
			s.d.Log.Warn("tidying up after builds", "err", err)
		}
	}
}

// settle is how long no build must have ended before Run tidies up.
const settle = 3 * time.Second

// Close refuses further builds, waits for those that run and closes BuildKit.
func (s *Service) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return nil
	}
	o := s.open
	s.open = nil
	return errors.Join(o.engine.Close(), o.exec.Close())
}

// begin opens BuildKit where it is not yet and counts one more user of it.
func (s *Service) begin(ctx context.Context) (*opened, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errs.New(errs.Unavailable, "the builder is stopping: try again when the daemon is back")
	}
	if s.open == nil {
		o, err := s.openAll(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("starting the builder: %w", err)
		}
		s.open = o
	}
	if s.d.Devices != nil {
		_ = s.d.Devices.Refresh() // a device whose description is wrong is not found, which says so
	}
	s.running.Add(1)
	s.users++
	return s.open, s.done, nil
}

// done ends what begin began.
func (s *Service) done() {
	s.mu.Lock()
	if s.users--; s.users == 0 {
		s.dropSockets()
	}
	s.mu.Unlock()
	s.running.Done()
}

func (s *Service) openAll(ctx context.Context) (*opened, error) {
	began := time.Now()
	s.cleanOnce(ctx)
	var devices *cdidevices.Manager
	if s.d.Devices != nil {
		devices = cdidevices.NewManager(s.d.Devices, nil)
	}
	x, err := executor.New(s.steps(devices))
	if err != nil {
		return nil, err
	}
	e, err := engine.Open(ctx, engine.Options{
		Root: s.cacheDir(), Store: s.d.Store, Executor: x, Log: s.d.Log,
		Built: s.d.Built, Failed: s.afterFailure, Gateway: s.d.Gateway, Allow: append([]string{allowDevice}, s.d.Allow...), Hosts: s.d.Hosts, Stall: s.d.Stall, Provenance: s.d.Provenance, Devices: devices,
	})
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	s.keepRoom()
	s.d.Log.Debug("the builder is open", "took", time.Since(began))
	return &opened{engine: e, exec: x}, nil
}

// Build builds an image, writes what happens to progress (nothing when the
// request says quiet) and returns the image's id. A failed build leaves no
// image, and its error says where and why.
func (s *Service) Build(ctx context.Context, req *build.Request, progress io.Writer) (imageID string, err error) {
	job, cleanup, err := s.job(ctx, req)
	if err != nil {
		return "", err
	}
	defer cleanup()
	o, done, err := s.begin(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	defer s.soon()
	if req.Classic {
		return s.buildClassic(ctx, o, job, req, progress)
	}
	if req.Quiet || progress == nil {
		progress = io.Discard
	}
	show := report.New
	if req.StatusJSON {
		show = report.NewJSON
	}
	watch := show(progress)
	watch.Facts = facts(job, req)
	job.Status = watch.Status
	if p, err := plan(job, req); err == nil && p != nil && len(req.Args) > 0 {
		watch.Status(p.Unused())
	}
	res, err := o.engine.Solve(ctx, job)
	watch.Close()
	if err != nil {
		return "", watch.Explain(ctx, err)
	}
	return res.Image, tellResult(req, res)
}

// tellResult hands on what is known of the result beside the image's id.
func tellResult(req *build.Request, res *engine.Result) error {
	if req.Result == nil {
		return nil
	}
	out := build.Result{Metadata: res.Response, Answer: res.Text, Code: res.Code}
	switch {
	case req.CallJSON:
		out.Answer = res.JSON
	case req.Call == callCheck:
		text, err := report.Checked(res.JSON)
		if err != nil {
			return err
		}
		out.Answer = text
	}
	req.Result(out)
	return nil
}

// soon lets Run look after the cache.
func (s *Service) soon() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// tidy drops what was used least recently above the bound, and the memory that
// builds needed and an idle daemon does not.
func (s *Service) tidy(ctx context.Context) error {
	o, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = o.engine.Prune(ctx, build.Prune{MaxUsed: s.d.MaxCache})
	if full := s.full.Swap(false); full || report.DiskFull(err) {
		err = s.makeRoom(ctx, o)
	}
	err = errors.Join(err, o.engine.Rest())
	debug.FreeOSMemory()
	return err
}

// Prune drops build cache that no running build uses, and tells what that gave
// back.
func (s *Service) Prune(ctx context.Context, p build.Prune) (*build.Pruned, error) {
	if !s.used() {
		return &build.Pruned{}, nil
	}
	o, done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	defer s.soon()
	return o.engine.Prune(ctx, p)
}

// Cache lists what the build cache holds.
func (s *Service) Cache(ctx context.Context) ([]build.Record, error) {
	if !s.used() {
		return nil, nil
	}
	o, done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	defer s.soon()
	return o.engine.Cache(ctx)
}

// used reports whether anything was ever built: where not, nobody needs to open
// BuildKit to learn that its cache is empty.
func (s *Service) used() bool {
	_, err := os.Stat(s.cacheDir())
	return !errors.Is(err, fs.ErrNotExist)
}

func (s *Service) cacheDir() string { return filepath.Join(s.d.Root, "cache") }

package engine

import (
	"context"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/llbsolver"
	"github.com/moby/buildkit/util/entitlements"

	"lus/internal/base/errs"
	"lus/internal/model/image"
	"lus/internal/service/build/internal/export"
)

// Job is one build, in the frontend's words.
type Job struct {
	Frontend string // empty: the Dockerfile's
	Attrs    map[string]string
	Dirs     map[string]string // the folders that the frontend may ask for, by name
	// ContextKey names the place that Dirs come from: files of an earlier build
	// with the same key are compared and not sent again.
	ContextKey  string
	Auth        map[string]image.Auth
	Names       []string // full references for the image
	HostNetwork bool
	// Status gets all that happens, from one goroutine, until Solve returns.
	Status func(*client.SolveStatus)
}

// Solve builds and returns the image's id.
func (e *Engine) Solve(ctx context.Context, j *Job) (string, error) {
	ctx = withLog(ctx, e.log)
	s, closeSession, err := e.openSession(ctx, j)
	if err != nil {
		return "", err
	}
	defer closeSession()
	id := identity.NewID()
	told := make(chan struct{})
	go func() {
		defer close(told)
		e.follow(ctx, id, j.Status)
	}()
	// The solver keeps a job's status for those that ask late, so following
	// ends by itself when Solve has returned and all was told.
	defer func() { <-told }()
	out, err := e.worker.exporter.Resolve(ctx, 0, map[string]string{export.AttrNames: strings.Join(j.Names, ",")})
	if err != nil {
		return "", err
	}
	var allowed []entitlements.Entitlement
	if j.HostNetwork {
		allowed = append(allowed, entitlements.EntitlementNetworkHost)
	}
	if j.Frontend == "" {
		j.Frontend = "dockerfile.v0"
	}
	res, err := e.solver.Solve(ctx, id, s.ID(), frontend.SolveRequest{Frontend: j.Frontend, FrontendOpt: j.Attrs}, 0,
		llbsolver.ExporterRequest{Exporters: []exporter.ExporterInstance{out}}, allowed, nil, true, nil, "", false)
	if err != nil {
		return "", err
	}
	image := res.ExporterResponse[exptypes.ExporterImageConfigDigestKey]
	if image == "" {
		return "", errs.New(errs.Internal, "the build gave no image")
	}
	return image, nil
}

// follow hands on the status of a job until it has ended.
func (e *Engine) follow(ctx context.Context, id string, tell func(*client.SolveStatus)) {
	ch := make(chan *client.SolveStatus, 8)
	go func() {
		// Closes ch. Not under ctx: the last words of a cancelled build count.
		_ = e.solver.Status(context.WithoutCancel(ctx), id, ch)
	}()
	for st := range ch {
		if tell != nil {
			tell(st)
		}
	}
}

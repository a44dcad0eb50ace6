package engine

import (
	"context"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/util/entitlements"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

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
	req := &controlapi.SolveRequest{
		Ref: id, Session: s.ID(), Frontend: j.Frontend, FrontendAttrs: j.Attrs, Internal: true,
		Exporters: []*controlapi.Exporter{{Type: client.ExporterImage, Attrs: map[string]string{export.AttrNames: strings.Join(j.Names, ",")}}},
	}
	if req.Frontend == "" {
		req.Frontend = "dockerfile.v0"
	}
	if j.HostNetwork {
		req.Entitlements = append(req.Entitlements, entitlements.EntitlementNetworkHost.String())
	}
	res, err := e.control.Solve(ctx, req)
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
	// Not under ctx: the last words of a cancelled build count.
	_ = e.control.Status(&controlapi.StatusRequest{Ref: id}, &news{ctx: context.WithoutCancel(ctx), tell: tell})
}

// news takes the status of a build as the control interface streams it.
type news struct {
	grpc.ServerStream
	ctx  context.Context
	tell func(*client.SolveStatus)
}

// Context implements grpc.ServerStream.
func (n *news) Context() context.Context { return n.ctx }

// SendHeader implements grpc.ServerStream.
func (*news) SendHeader(metadata.MD) error { return nil }

// SendMsg implements grpc.ServerStream.
func (n *news) SendMsg(m any) error {
	st, ok := m.(*controlapi.StatusResponse)
	if ok && n.tell != nil {
		n.tell(client.NewSolveStatus(st))
	}
	return nil
}

// Send implements controlapi.Control_StatusServer.
func (n *news) Send(st *controlapi.StatusResponse) error { return n.SendMsg(st) }

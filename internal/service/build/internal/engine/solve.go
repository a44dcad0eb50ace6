package engine

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"strconv"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/identity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/image"
)

// Job is one build, in the frontend's words.
type Job struct {
	Frontend string // empty: the Dockerfile's
	Attrs    map[string]string
	Dirs     map[string]string // the folders that the frontend may ask for, by name
	// ContextKey names the place that Dirs come from: files of an earlier build
	// with the same key are compared and not sent again.
	ContextKey string
	Auth       map[string]image.Auth
	Names      []string // full references for the image
	// Allow are the entitlements that this build asks for.
	Allow []string
	// Question asks about the Dockerfile and builds nothing, by a name of
	// BuildKit's subrequests.
	Question string
	// Stdout gets an output whose dest is "-".
	Stdout io.Writer
	// Layouts are OCI layouts, by the names under which contexts ask for them.
	Layouts map[string]string
	Secrets map[string][]byte
	SSH     map[string][]string
	// Outputs say where the result goes; none: into the store, under Names.
	Outputs            []build.Output
	CacheFrom, CacheTo []build.Output
	// Session is that of a client that is connected; empty: this process
	// answers what the build asks.
	Session string
	// Trace gets the status as messages of BuildKit's protocol.
	Trace func([]byte)
	// Status gets all that happens, from one goroutine, until Solve returns.
	Status func(*client.SolveStatus)
}

// Result is what a solve gave.
type Result struct {
	Image string // the image's id, empty where none was asked for
	// Response is what exporters tell of what they made, in BuildKit's words.
	Response map[string]string
	// JSON and Text are the answer to a question, Code the exit code with it.
	JSON, Text string
	Code       int
}

// Solve builds.
func (e *Engine) Solve(ctx context.Context, j *Job) (*Result, error) {
	ctx = withLog(ctx, e.log)
	caches, err := openCaches(j)
	if err != nil {
		return nil, err
	}
	if j.Session == "" {
		s, closeSession, err := e.openSession(ctx, j, caches)
		if err != nil {
			return nil, err
		}
		defer closeSession()
		j.Session = s.ID()
	}
	req, err := request(j, caches)
	if err != nil {
		return nil, err
	}
	if err := e.check(ctx, req.Exporters); err != nil {
		return nil, err
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		e.follow(ctx, req.Ref, j)
	}()
	// The solver keeps a job's status for those that ask late, so following
	// ends by itself when Solve has returned and all was told.
	defer func() { <-told }()
	res, err := e.control.Solve(ctx, req)
	if err != nil {
		e.failed(ctx, err)
		return nil, err
	}
	if j.Question == "" {
		if err := caches.written(res.ExporterResponse); err != nil {
			return nil, err
		}
	}
	return result(res.ExporterResponse, makesImage(req.Exporters))
}

// check finds out what is wrong with outputs, as the solver does before it has a
// build that could be followed.
func (e *Engine) check(ctx context.Context, outputs []*controlapi.Exporter) error {
	for i, o := range outputs {
		x, err := e.worker.Exporter(o.Type, e.sessions)
		if err == nil {
			_, err = x.Resolve(ctx, i, maps.Clone(o.Attrs))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func result(told map[string]string, image bool) (*Result, error) {
	out := &Result{
		Image: told[exptypes.ExporterImageConfigDigestKey], Response: map[string]string{},
		JSON: told[answerPrefix+answerJSON], Text: told[answerPrefix+answerText],
	}
	if out.Image == "" && image {
		return nil, errs.New(errs.Internal, "the build gave no image")
	}
	if text := told[answerPrefix+answerStatus]; text != "" {
		code, err := strconv.Atoi(text)
		if err != nil {
			return nil, errs.New(errs.Internal, "the frontend's exit code %q is none", text)
		}
		out.Code = code
	}
	for key, value := range told {
		if !strings.HasPrefix(key, answerPrefix) {
			out.Response[key] = value
		}
	}
	return out, nil
}

// request is the job in BuildKit's words.
func request(j *Job, c *caches) (*controlapi.SolveRequest, error) {
	req := &controlapi.SolveRequest{
		Ref: identity.NewID(), Session: j.Session, Frontend: j.Frontend, FrontendAttrs: j.Attrs, Internal: true,
		Exporters: exporters(j), Cache: &controlapi.CacheOptions{Imports: c.from, Exports: c.to},
	}
	if req.Frontend == "" {
		req.Frontend = frontendDockerfile
	}
	req.Entitlements = j.Allow
	if j.Question != "" {
		req.Exporters = nil
		req.FrontendAttrs["requestid"] = j.Question
		req.FrontendAttrs["frontend.caps"] = "moby.buildkit.frontend.subrequests"
	}
	if len(c.from) > 0 {
		text, err := json.Marshal(c.from)
		if err != nil {
			return nil, err
		}
		req.FrontendAttrs["cache-imports"] = string(text)
	}
	return req, nil
}

// follow hands on the status of a job until it has ended.
func (e *Engine) follow(ctx context.Context, ref string, j *Job) {
	// Not under ctx: the last words of a cancelled build count.
	_ = e.control.Status(&controlapi.StatusRequest{Ref: ref}, &news{ctx: context.WithoutCancel(ctx), tell: j.Status, trace: j.Trace})
}

// news takes the status of a build as the control interface streams it.
type news struct {
	grpc.ServerStream
	ctx   context.Context
	tell  func(*client.SolveStatus)
	trace func([]byte)
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
	if ok && n.trace != nil {
		if text, err := proto.Marshal(st); err == nil {
			n.trace(text)
		}
	}
	return nil
}

// Send implements controlapi.Control_StatusServer.
func (n *news) Send(st *controlapi.StatusResponse) error { return n.SendMsg(st) }

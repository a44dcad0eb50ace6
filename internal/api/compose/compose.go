// Package compose answers /lus/v1/compose/...: requests carry a resolved
// project, answers are a stream of events, one JSON object a line, of which
// the last may be an error.
package compose

import (
	"context"
	"encoding/json"
	"net/http"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// Prefix is where the handler is mounted.
const Prefix = "/lus/v1/compose/"

// Projects is what the handler asks of the compose service.
type Projects interface {
	Up(ctx context.Context, req *compose.UpRequest, tell func(compose.Event)) error
	Down(ctx context.Context, req *compose.DownRequest, tell func(compose.Event)) error
	Build(ctx context.Context, req *compose.BuildRequest, tell func(compose.Event)) error
	Pull(ctx context.Context, req *compose.PullRequest, tell func(compose.Event)) error
	Start(ctx context.Context, req *compose.StateRequest, tell func(compose.Event)) error
	Stop(ctx context.Context, req *compose.StateRequest, tell func(compose.Event)) error
	Restart(ctx context.Context, req *compose.StateRequest, tell func(compose.Event)) error
	Rollback(ctx context.Context, req *compose.RollbackRequest, tell func(compose.Event)) error
	Deployments(ctx context.Context, project string) ([]*compose.Deployment, error)
	Deployment(ctx context.Context, id int64) (*compose.Deployment, error)
	Diff(ctx context.Context, from, to int64) (*compose.Difference, error)
	Describe(ctx context.Context, id int64, src *compose.Source) error
}

// maxBody bounds a request: a resolved project of some thousand services.
const maxBody = 64 << 20

// New returns the handler for everything below Prefix.
func New(p Projects) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Prefix+"up", stream(p.Up))
	mux.HandleFunc("POST "+Prefix+"down", stream(p.Down))
	mux.HandleFunc("POST "+Prefix+"build", stream(p.Build))
	mux.HandleFunc("POST "+Prefix+"pull", stream(p.Pull))
	mux.HandleFunc("POST "+Prefix+"start", stream(p.Start))
	mux.HandleFunc("POST "+Prefix+"stop", stream(p.Stop))
	mux.HandleFunc("POST "+Prefix+"restart", stream(p.Restart))
	mux.HandleFunc("POST "+Prefix+"rollback", stream(p.Rollback))
	deployments(mux, p)
	return mux
}

// stream decodes a request, carries it out and tells of it as it happens.
func stream[R any](do func(context.Context, *R, func(compose.Event)) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		out := json.NewEncoder(w)
		tell := func(e compose.Event) {
			// A client that went away ends the request through its context.
			_ = out.Encode(e)
			_ = http.NewResponseController(w).Flush()
		}
		req := new(R)
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(req); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			tell(compose.Event{Error: "the request is not a resolved project: " + err.Error(), ErrorKind: uint8(errs.Invalid)})
			return
		}
		if err := do(r.Context(), req, tell); err != nil {
			tell(compose.Event{Error: err.Error(), ErrorKind: uint8(errs.KindOf(err))})
		}
	}
}

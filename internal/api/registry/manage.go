package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"lus/internal/api/status"
	"lus/internal/base/errs"
	"lus/internal/model/registry"
)

// ManagePrefix is where the handler of Manage is mounted, on the daemon's own
// socket.
const ManagePrefix = "/lus/v1/registry/"

// maxRequest bounds the body of a request that manages.
const maxRequest = 64 << 10

// Manager is what `lus registry` asks. Whoever reaches it may do everything.
type Manager interface {
	Bounds
	Status(ctx context.Context) (*registry.Status, error)
	List(ctx context.Context) ([]registry.Repository, error)
	ListTags(ctx context.Context, repository string) ([]registry.Tag, error)
	// Remove removes a repository, or the tag or digest ref of it.
	Remove(ctx context.Context, repository, ref string) error
	// Collect removes what nothing has named for the time of grace, and where
	// asked manifests without a tag.
	Collect(ctx context.Context, grace time.Duration, untagged bool) (registry.Collected, error)
}

// Listener is where the registry is reached.
type Listener interface {
	// Set changes where it listens, at once and for the next start.
	Set(ctx context.Context, set registry.Settings) error
	// Tell fills in what is set and where it listens.
	Tell(ctx context.Context, st *registry.Status) error
	// Authority is the certificate of the authority that vouches for the listener,
	// as PEM, made where there is none yet.
	Authority() ([]byte, error)
}

// ManageDeps is what the handler answers from.
type ManageDeps struct {
	Manager  Manager
	Listener Listener
}

// Manage returns the handler for everything below ManagePrefix.
func Manage(d ManageDeps) http.Handler {
	mux := http.NewServeMux()
	on := func(pattern string, do func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
			v, err := do(r)
			if err != nil {
				manageReply(w, status.Of(errs.KindOf(err)), map[string]string{"message": err.Error()})
				return
			}
			manageReply(w, http.StatusOK, v)
		})
	}
	on("GET "+ManagePrefix+"status", d.status)
	on("PUT "+ManagePrefix+"settings", d.set)
	on("GET "+ManagePrefix+"repositories", func(r *http.Request) (any, error) { return d.Manager.List(r.Context()) })
	on("GET "+ManagePrefix+"tags", func(r *http.Request) (any, error) {
		return d.Manager.ListTags(r.Context(), r.URL.Query().Get("repository"))
	})
	on("DELETE "+ManagePrefix+"repositories", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		return struct{}{}, d.Manager.Remove(r.Context(), q.Get("repository"), q.Get("reference"))
	})
	on("POST "+ManagePrefix+"gc", d.collect)
	on("GET "+ManagePrefix+"ca", func(*http.Request) (any, error) {
		text, err := d.Listener.Authority()
		return registry.Authority{Certificate: string(text)}, err
	})
	d.more(on)
	on(ManagePrefix, func(*http.Request) (any, error) { return nil, errs.New(errs.NotFound, "page not found") })
	return mux
}

func (d ManageDeps) status(r *http.Request) (any, error) {
	st, err := d.Manager.Status(r.Context())
	if err != nil {
		return nil, err
	}
	return st, d.Listener.Tell(r.Context(), st)
}

func (d ManageDeps) set(r *http.Request) (any, error) {
	var set registry.Settings
	if err := decode(r, &set); err != nil {
		return nil, err
	}
	if err := d.Listener.Set(r.Context(), set); err != nil {
		return nil, err
	}
	return d.status(r)
}

// CollectRequest is the body of POST gc.
type CollectRequest struct {
	Grace    int64 `json:"grace"` // seconds
	Untagged bool  `json:"untagged"`
}

func (d ManageDeps) collect(r *http.Request) (any, error) {
	var req CollectRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	if req.Grace < 0 || req.Grace > int64(10*365*24*time.Hour/time.Second) {
		return nil, errs.New(errs.Invalid, "a time of grace of %d seconds is none", req.Grace)
	}
	return d.Manager.Collect(r.Context(), time.Duration(req.Grace)*time.Second, req.Untagged)
}

func decode(r *http.Request, v any) error {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		return errs.New(errs.Invalid, "the request's body is not what is expected: %w", err)
	}
	return nil
}

func manageReply(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		code, data = http.StatusInternalServerError, []byte(`{"message":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n')) // a client that went away is told nothing
}

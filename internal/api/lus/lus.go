// Package lus answers /lus/v1/...: what Lus has and Docker's API has not. Builds
// of a folder on this host, and facts about the daemon.
package lus

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"lus/internal/api/status"
	"lus/internal/base/errs"
	"lus/internal/base/layout"
	"lus/internal/base/version"
	"lus/internal/model/build"
)

// Prefix is where the handler is mounted. Longer prefixes of others win.
const Prefix = "/lus/v1/"

// maxBody bounds a request: a build's arguments, and a Dockerfile in it.
const maxBody = 16 << 20

// Builder builds an image and writes its progress as text.
type Builder interface {
	Build(ctx context.Context, req *build.Request, progress io.Writer) (imageID string, err error)
}

// Deps is what the handler answers from.
type Deps struct {
	Builder Builder
	Layout  layout.Layout
	// Processes are the process ids of what belongs to the daemon, by name.
	Processes func() map[string]int
	Log       *slog.Logger
}

// New returns the handler for everything below Prefix.
func New(d Deps) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Prefix+"build", d.build)
	mux.HandleFunc("GET "+Prefix+"info", d.info)
	mux.HandleFunc(Prefix, func(w http.ResponseWriter, _ *http.Request) {
		fail(w, errs.New(errs.NotFound, "page not found"))
	})
	return mux
}

// Info is the body of GET /lus/v1/info.
type Info struct {
	Version   string         `json:"version"`
	Root      string         `json:"root"`
	Run       string         `json:"run"`
	Socket    string         `json:"socket"`
	Instance  string         `json:"instance"`
	Pid       int            `json:"pid"`
	Processes map[string]int `json:"processes"`
}

func (d Deps) info(w http.ResponseWriter, _ *http.Request) {
	i := Info{
		Version: version.String(), Root: d.Layout.Root, Run: d.Layout.Run, Socket: d.Layout.Socket(),
		Instance: d.Layout.Instance(), Pid: os.Getpid(), Processes: map[string]int{"lusd": os.Getpid()},
	}
	if d.Processes != nil {
		for name, pid := range d.Processes() {
			i.Processes[name] = pid
		}
	}
	reply(w, http.StatusOK, i)
}

// line is one line of a build's answer: text as it comes, then either the
// image's id or the error.
type line struct {
	Text  string    `json:"text,omitempty"`
	Image string    `json:"image,omitempty"`
	Done  bool      `json:"done,omitempty"` // all went well, and no image was asked for
	Error string    `json:"error,omitempty"`
	Kind  errs.Kind `json:"kind,omitempty"`
}

func (d Deps) build(w http.ResponseWriter, r *http.Request) {
	req := new(build.Request)
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(req); err != nil {
		fail(w, errs.New(errs.Invalid, "the request is not a build: %w", err))
		return
	}
	if (req.ContextDir == "") == (req.Remote == "") {
		fail(w, errs.New(errs.Invalid, "a build needs a folder or a URL as its context, and not both"))
		return
	}
	if req.ContextDir != "" && !filepath.IsAbs(req.ContextDir) {
		fail(w, errs.New(errs.Invalid, "the context %q is not an absolute path", req.ContextDir))
		return
	}
	out := &lines{w: w, enc: json.NewEncoder(w)}
	out.enc.SetEscapeHTML(false)
	defer func() {
		if p := recover(); p != nil {
			d.Log.Error("a build ended in a panic", "context", req.ContextDir, "panic", p)
			out.send(line{Error: "an internal fault; the daemon's log tells more"})
		}
	}()
	id, err := d.Builder.Build(r.Context(), req, out)
	if err != nil {
		if errs.KindOf(err) == errs.Internal && r.Context().Err() == nil {
			d.Log.Info("a build failed", "context", req.ContextDir, "error", err)
		}
		out.send(line{Error: err.Error(), Kind: errs.KindOf(err)})
		return
	}
	out.send(line{Image: id, Done: id == ""})
}

// lines sends text as it comes. BuildKit's steps write side by side.
type lines struct {
	mu  sync.Mutex
	w   http.ResponseWriter
	enc *json.Encoder
}

func (l *lines) Write(p []byte) (int, error) {
	l.send(line{Text: string(p)})
	return len(p), nil
}

func (l *lines) send(m line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.Header().Set("Content-Type", "application/x-ndjson")
	// A client that went away ends the request through its context.
	_ = l.enc.Encode(m)
	_ = http.NewResponseController(l.w).Flush()
}

func fail(w http.ResponseWriter, err error) {
	reply(w, status.Of(errs.KindOf(err)), map[string]string{"message": err.Error()})
}

func reply(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		code, data = http.StatusInternalServerError, []byte(`{"message":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n'))
}

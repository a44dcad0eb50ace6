// Package lus answers /lus/v1/...: what Lus has and Docker's API has not. Builds
// of a folder on this host, and facts about the daemon.
package lus

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"

	"lus/internal/api/status"
	"lus/internal/base/errs"
	"lus/internal/base/layout"
	"lus/internal/base/version"
)

// Prefix is where the handler is mounted. Longer prefixes of others win.
const Prefix = "/lus/v1/"

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

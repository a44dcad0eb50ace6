package docker

import (
	"context"
	"io"
	"net/http"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

func (h *handler) execs() {
	h.handle("POST /containers/{name}/exec", h.createExec)
	h.handle("POST /exec/{id}/start", h.startExec)
	h.handle("POST /exec/{id}/resize", h.resizeExec)
	h.handle("GET /exec/{id}/json", h.inspectExec)
}

func (h *handler) createExec(w http.ResponseWriter, r *http.Request) error {
	var cfg container.ExecConfig
	if err := h.decode(w, r, &cfg); err != nil {
		return err
	}
	if len(cfg.Cmd) == 0 {
		return errs.New(errs.Invalid, "No exec command specified")
	}
	if _, err := parseKeys(cfg.DetachKeys); err != nil {
		return err
	}
	if atOnce(r) {
		return h.runExec(w, r, &cfg)
	}
	id, err := h.Containers.CreateExec(r.Context(), r.PathValue("name"), &cfg)
	if err != nil {
		return err
	}
	return reply(w, http.StatusCreated, map[string]string{"Id": id})
}

func (h *handler) startExec(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Detach      bool
		Tty         bool
		ConsoleSize *[2]uint
	}
	if err := h.decode(w, r, &req); err != nil {
		return err
	}
	id := r.PathValue("id")
	e, err := h.Containers.InspectExec(r.Context(), id)
	if err != nil {
		return err
	}
	keys, err := parseKeys(e.Config.DetachKeys)
	if err != nil {
		return err
	}
	ctx, cancel := lasting(r)
	defer cancel()
	if req.Detach {
		if _, err := h.Containers.StartExec(ctx, id, true, req.Tty, req.ConsoleSize); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	s, err := h.startStream(ctx, id, req.Tty, req.ConsoleSize)
	if err != nil {
		return err
	}
	return h.hijack(w, r, s, keys)
}

// startStream starts an exec and joins it. Where it could not be run, the stream
// says why.
func (h *handler) startStream(ctx context.Context, id string, tty bool, size *[2]uint) (*container.Stream, error) {
	s, err := h.Containers.StartExec(ctx, id, false, tty, size)
	if err != nil && h.tried(ctx, id, err) {
		return lastWords(err, tty), nil
	}
	return s, err
}

// tried reports whether err is how the exec ended, so that its exit code can be
// asked for: clients do that once the stream is over, and know no other way to
// learn that a command was not found.
func (h *handler) tried(ctx context.Context, id string, err error) bool {
	if errs.Is(err, errs.Conflict) { // it was started before
		return false
	}
	e, ierr := h.Containers.InspectExec(ctx, id)
	return ierr == nil && e.ExitCode != nil
}

// lastWords is the stream of a process that never ran: why it did not.
func lastWords(err error, tty bool) *container.Stream {
	return &container.Stream{Tty: tty, Out: &oneRecord{text: err.Error() + "\r\n"}, Detach: func() error { return nil }}
}

// oneRecord is output of one record.
type oneRecord struct{ text string }

// Next gives the record once.
func (o *oneRecord) Next() (container.LogRecord, error) {
	if o.text == "" {
		return container.LogRecord{}, io.EOF
	}
	rec := container.LogRecord{Data: []byte(o.text)}
	o.text = ""
	return rec, nil
}

// Close has nothing to do.
func (o *oneRecord) Close() error { return nil }

func (h *handler) resizeExec(w http.ResponseWriter, r *http.Request) error {
	rows, cols, err := sizeOf(r)
	if err != nil {
		return err
	}
	if err := h.Containers.ResizeExec(r.Context(), r.PathValue("id"), rows, cols); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// execAnswer is the body of GET /exec/ID/json.
type execAnswer struct {
	ID            string
	Running       bool
	ExitCode      *int
	ProcessConfig processConfig
	OpenStdin     bool
	OpenStderr    bool
	OpenStdout    bool
	CanRemove     bool
	ContainerID   string
	DetachKeys    string
	Pid           int
}

type processConfig struct {
	Tty        bool     `json:"tty"`
	Entrypoint string   `json:"entrypoint"`
	Arguments  []string `json:"arguments"`
	Privileged bool     `json:"privileged"`
	User       string   `json:"user,omitempty"`
}

func (h *handler) inspectExec(w http.ResponseWriter, r *http.Request) error {
	e, err := h.Containers.InspectExec(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	c := e.Config
	return reply(w, http.StatusOK, execAnswer{
		ID: e.ID, Running: e.Running, ExitCode: e.ExitCode, ContainerID: e.ContainerID, Pid: e.Pid,
		OpenStdin: c.AttachStdin, OpenStdout: c.AttachStdout, OpenStderr: c.AttachStderr, DetachKeys: c.DetachKeys,
		ProcessConfig: processConfig{Tty: c.Tty, Entrypoint: c.Cmd[0], Arguments: c.Cmd[1:], Privileged: c.Privileged, User: c.User},
	})
}

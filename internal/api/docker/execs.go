package docker

import (
	"context"
	"io"
	"net/http"
	"sync"

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
	if !req.Detach {
		defer h.outputs.begin(id)()
	}
	ctx, cancel := lasting(r)
	defer cancel()
	s, err := h.Containers.StartExec(ctx, id, req.Detach, req.Tty, req.ConsoleSize)
	if err != nil && !req.Detach && h.tried(ctx, id, err) {
		s, err = lastWords(err, req.Tty), nil
	}
	if err != nil {
		return err
	}
	if s == nil {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return h.hijack(w, r, s, keys)
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

// inspectExec tells of an exec; with wait=1, which is ours and not Docker's, once
// its process has ended and its output is with the client, so that who waits for
// it need not ask again and again. The output comes first: were the daemon killed
// between the two, an exit code would say that all of it had come.
func (h *handler) inspectExec(w http.ResponseWriter, r *http.Request) error {
	look, id := h.Containers.InspectExec, r.PathValue("id")
	wait := r.URL.Query().Get("wait") == "1"
	if wait {
		look = h.Containers.WaitExec
	}
	e, err := look(r.Context(), id)
	if err == nil && wait {
		err = h.outputs.wait(r.Context(), id)
	}
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

// outputs are the execs whose output is on its way to a client.
type outputs struct {
	mu sync.Mutex
	of map[string]chan struct{} // by exec; closed when it is there
}

// begin notes that an exec's output will be on its way, until end is called.
func (o *outputs) begin(id string) (end func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of[id] != nil {
		return func() {} // started a second time, which is refused
	}
	if o.of == nil {
		o.of = map[string]chan struct{}{}
	}
	ended := make(chan struct{})
	o.of[id] = ended
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.of, id)
		close(ended)
	}
}

// wait returns once no output of the exec is on its way.
func (o *outputs) wait(ctx context.Context, id string) error {
	o.mu.Lock()
	ended := o.of[id]
	o.mu.Unlock()
	if ended == nil {
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package docker

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

func (h *handler) containers() {
	h.handle("POST /containers/create", h.createContainer)
	h.handle("GET /containers/json", h.listContainers)
	h.handle("GET /containers/{name}/json", h.inspectContainer)
	h.handle("POST /containers/{name}/start", h.startContainer)
	h.handle("POST /containers/{name}/stop", h.stopContainer)
	h.handle("POST /containers/{name}/restart", h.restartContainer)
	h.handle("POST /containers/{name}/kill", h.killContainer)
	h.handle("POST /containers/{name}/pause", h.pauseContainer)
	h.handle("POST /containers/{name}/unpause", h.unpauseContainer)
	h.handle("POST /containers/{name}/update", h.updateContainer)
	h.handle("POST /containers/{name}/rename", h.renameContainer)
	h.handle("POST /containers/{name}/wait", h.waitContainer)
	h.handle("POST /containers/{name}/resize", h.resizeContainer)
	h.handle("POST /containers/{name}/attach", h.attachContainer)
	h.handle("GET /containers/{name}/attach/ws", h.attachSocket)
	h.handle("GET /containers/{name}/logs", h.logs)
	h.handle("GET /containers/{name}/top", h.topContainer)
	h.handle("GET /containers/{name}/stats", h.stats)
	h.handle("POST /containers/prune", h.pruneContainers)
	h.handle("DELETE /containers/{name}", h.removeContainer)
	h.handle("DELETE /containers/{name}/{alias}", h.removeContainer) // a link
}

func (h *handler) createContainer(w http.ResponseWriter, r *http.Request) error {
	var req container.CreateRequest
	if err := h.decode(w, r, &req); err != nil {
		return err
	}
	if req.HostConfig == nil {
		req.HostConfig = &container.HostConfig{}
	}
	if err := h.checkPlatform(r, req.Image); err != nil {
		return err
	}
	req.AnyPlatform = r.FormValue("platform") != ""
	if atOnce(r) {
		return h.runContainer(w, r, &req)
	}
	resp, err := h.makeContainer(r, &req)
	if err != nil {
		return err
	}
	return reply(w, http.StatusCreated, resp)
}

func (h *handler) makeContainer(r *http.Request, req *container.CreateRequest) (*container.CreateResponse, error) {
	resp, err := h.Containers.CreateContainer(r.Context(), r.FormValue("name"), req)
	if err == nil && resp.Warnings == nil {
		resp.Warnings = []string{}
	}
	return resp, err
}

func (h *handler) listContainers(w http.ResponseWriter, r *http.Request) error {
	f, err := filters(r)
	if err != nil {
		return err
	}
	limit, err := number(r, "limit")
	if err != nil {
		return err
	}
	o := container.ListOptions{All: flag(r, "all"), Limit: limit, Size: flag(r, "size"), Filters: f}
	list, err := h.Containers.ListContainers(r.Context(), o)
	if err != nil {
		return err
	}
	out := make([]summary, 0, len(list))
	for _, c := range list {
		out = append(out, summarize(c))
	}
	return reply(w, http.StatusOK, out)
}

func (h *handler) inspectContainer(w http.ResponseWriter, r *http.Request) error {
	c, err := h.Containers.InspectContainer(r.Context(), r.PathValue("name"), flag(r, "size"))
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, inspect(c))
}

func (h *handler) startContainer(w http.ResponseWriter, r *http.Request) error {
	if err := h.Containers.StartContainer(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	return done(w)
}

// timeout reads t: how many seconds to let a container stop.
func timeout(r *http.Request) (*int, error) {
	if r.FormValue("t") == "" {
		return nil, nil
	}
	n, err := number(r, "t")
	return &n, err
}

func (h *handler) stopContainer(w http.ResponseWriter, r *http.Request) error {
	t, err := timeout(r)
	if err != nil {
		return err
	}
	if err := h.Containers.StopContainer(r.Context(), r.PathValue("name"), r.FormValue("signal"), t); err != nil {
		return err
	}
	// Not Docker's: clients that do not look for it are not disturbed.
	if c, err := h.Containers.InspectContainer(r.Context(), r.PathValue("name"), false); err == nil && c.StopNote != "" {
		w.Header().Set("Warning", "299 lus "+strconv.Quote(c.StopNote))
	}
	return done(w)
}

func (h *handler) restartContainer(w http.ResponseWriter, r *http.Request) error {
	t, err := timeout(r)
	if err != nil {
		return err
	}
	if err := h.Containers.RestartContainer(r.Context(), r.PathValue("name"), r.FormValue("signal"), t); err != nil {
		return err
	}
	return done(w)
}

func (h *handler) killContainer(w http.ResponseWriter, r *http.Request) error {
	if err := h.Containers.KillContainer(r.Context(), r.PathValue("name"), r.FormValue("signal")); err != nil {
		return err
	}
	return done(w)
}

func (h *handler) pauseContainer(w http.ResponseWriter, r *http.Request) error {
	if err := h.Containers.PauseContainer(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	return done(w)
}

func (h *handler) unpauseContainer(w http.ResponseWriter, r *http.Request) error {
	if err := h.Containers.UnpauseContainer(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	return done(w)
}

func (h *handler) updateContainer(w http.ResponseWriter, r *http.Request) error {
	var req container.UpdateRequest
	if err := h.decode(w, r, &req); err != nil {
		return err
	}
	warnings, err := h.Containers.UpdateContainer(r.Context(), r.PathValue("name"), &req)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, map[string]any{"Warnings": list(warnings)})
}

func (h *handler) renameContainer(w http.ResponseWriter, r *http.Request) error {
	if err := h.Containers.RenameContainer(r.Context(), r.PathValue("name"), r.FormValue("name")); err != nil {
		return err
	}
	return done(w)
}

func (h *handler) removeContainer(w http.ResponseWriter, r *http.Request) error {
	o := container.RemoveOptions{Link: flag(r, "link"), Force: flag(r, "force"), Volumes: flag(r, "v")}
	name := r.PathValue("name")
	if alias := r.PathValue("alias"); alias != "" {
		name += "/" + alias
	}
	if err := h.Containers.RemoveContainer(r.Context(), name, o); err != nil {
		return err
	}
	return done(w)
}

func (h *handler) resizeContainer(w http.ResponseWriter, r *http.Request) error {
	rows, cols, err := sizeOf(r)
	if err != nil {
		return err
	}
	if err := h.Containers.ResizeContainer(r.Context(), r.PathValue("name"), rows, cols); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// waitContainer answers in two parts: the head at once, so that the client may
// start the container, the exit when it comes.
func (h *handler) waitContainer(w http.ResponseWriter, r *http.Request) error {
	condition := r.FormValue("condition")
	switch condition {
	case "", "not-running", "next-exit", "removed":
	default:
		return errs.New(errs.Invalid, "invalid condition: %q", condition)
	}
	exits, err := h.Containers.WaitContainer(r.Context(), r.PathValue("name"), condition)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush(w)
	select {
	case exit, ok := <-exits:
		if !ok {
			return nil // the daemon stops; the client sees the end
		}
		// Why a container could not be started is the answer to its start.
		_ = json.NewEncoder(w).Encode(struct{ StatusCode int }{exit.Code})
	case <-r.Context().Done():
	}
	return nil
}

func (h *handler) topContainer(w http.ResponseWriter, r *http.Request) error {
	args := strings.Fields(r.FormValue("ps_args"))
	top, err := h.Containers.TopContainer(r.Context(), r.PathValue("name"), args)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, top)
}

func (h *handler) logs(w http.ResponseWriter, r *http.Request) error {
	o := container.LogOptions{
		Stdout: flag(r, "stdout"), Stderr: flag(r, "stderr"), Follow: flag(r, "follow"),
		Timestamps: flag(r, "timestamps"), Tail: -1,
		Run: flag(r, "run"), // not Docker's: its clients do not ask for it
	}
	if !o.Stdout && !o.Stderr {
		return errs.New(errs.Invalid, "Bad parameters: you must choose at least one stream")
	}
	var err error
	if o.Since, err = moment(r.FormValue("since")); err != nil {
		return err
	}
	if o.Until, err = moment(r.FormValue("until")); err != nil {
		return err
	}
	if tail := r.FormValue("tail"); tail != "" && tail != "all" {
		// Docker takes what is not a number for all.
		if n, err := strconv.Atoi(tail); err == nil && n >= 0 {
			o.Tail = n
		}
	}
	details, err := h.details(r)
	if err != nil {
		return err
	}
	reader, tty, err := h.Containers.Logs(r.Context(), r.PathValue("name"), o)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	w.Header().Set("Content-Type", streamType(r, tty))
	w.WriteHeader(http.StatusOK)
	flush(w)
	out := &framer{w: w, raw: tty, timestamps: o.Timestamps, details: details, flush: func() { flush(w) }}
	if err := out.copy(reader); err != nil && r.Context().Err() == nil {
		h.Log.Debug("a log stream ended early", "container", r.PathValue("name"), "error", err)
	}
	return nil
}

// details is what stands before each line of a log where it is asked for: the
// labels and variables that the container's log options name. They are the
// container's for its life, so they need not be kept with each line.
func (h *handler) details(r *http.Request) ([]byte, error) {
	if !flag(r, "details") {
		return nil, nil
	}
	c, err := h.Containers.InspectContainer(r.Context(), r.PathValue("name"), false)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	asked := c.HostConfig.LogConfig.Config
	for _, key := range strings.Split(asked["labels"], ",") {
		if v, ok := c.Config.Labels[key]; ok {
			found[key] = v
		}
	}
	named := strings.Split(asked["env"], ",")
	for _, kv := range c.Config.Env {
		if k, v, _ := strings.Cut(kv, "="); slices.Contains(named, k) {
			found[k] = v
		}
	}
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(found)) {
		pairs = append(pairs, url.QueryEscape(k)+"="+url.QueryEscape(found[k]))
	}
	return []byte(strings.Join(pairs, ",") + " "), nil
}

func (h *handler) attachContainer(w http.ResponseWriter, r *http.Request) error {
	o := container.AttachOptions{
		Stdin: flag(r, "stdin"), Stdout: flag(r, "stdout"), Stderr: flag(r, "stderr"),
		Logs: flag(r, "logs"), Stream: flag(r, "stream"), DetachKeys: r.FormValue("detachKeys"),
	}
	keys, err := parseKeys(o.DetachKeys)
	if err != nil {
		return err
	}
	ctx, cancel := lasting(r)
	defer cancel()
	s, err := h.Containers.Attach(ctx, r.PathValue("name"), o)
	if err != nil {
		return err
	}
	return h.hijack(w, r, s, keys)
}

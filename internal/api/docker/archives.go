package docker

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// statHeader carries a path's facts beside its tar.
const statHeader = "X-Docker-Container-Path-Stat"

func (h *handler) archives() {
	h.handle("HEAD /containers/{name}/archive", h.statPath)
	h.handle("GET /containers/{name}/archive", h.readPath)
	h.handle("PUT /containers/{name}/archive", h.writePath)
	h.handle("GET /containers/{name}/changes", h.changes)
	h.handle("GET /containers/{name}/export", h.export)
	h.handle("POST /commit", h.commit)
}

func setStat(w http.ResponseWriter, st *container.PathStat) error {
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	w.Header().Set(statHeader, base64.StdEncoding.EncodeToString(data))
	return nil
}

func (h *handler) statPath(w http.ResponseWriter, r *http.Request) error {
	st, err := h.Containers.StatPath(r.Context(), r.PathValue("name"), r.FormValue("path"))
	if err != nil {
		return err
	}
	if err := setStat(w, st); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *handler) readPath(w http.ResponseWriter, r *http.Request) error {
	a, err := h.Containers.ReadPath(r.Context(), r.PathValue("name"), r.FormValue("path"))
	if err != nil {
		return err
	}
	defer a.Close()
	if err := setStat(w, &a.Stat); err != nil {
		return err
	}
	return h.sendTar(w, r, a)
}

// sendTar sends a tar. One that fails under way breaks the connection off, since
// a tar that ends early may look whole.
func (h *handler) sendTar(w http.ResponseWriter, r *http.Request, a *container.Archive) error {
	w.Header().Set("Content-Type", "application/x-tar")
	err := a.Write(r.Context(), w)
	if began, ok := w.(*watcher); err == nil || ok && !began.begun {
		return err
	}
	if r.Context().Err() == nil {
		h.Log.Warn("a tar broke off", "path", r.URL.Path, "err", err)
	}
	panic(http.ErrAbortHandler)
}

func (h *handler) writePath(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query() // the body is a tar and no form
	o := container.ExtractOptions{NoOverwriteDirNonDir: isTrue(query.Get("noOverwriteDirNonDir")), CopyUIDGID: isTrue(query.Get("copyUIDGID"))}
	if query.Get("path") == "" {
		return errs.New(errs.Invalid, "bad parameter: path cannot be empty")
	}
	if err := h.Containers.WritePath(r.Context(), r.PathValue("name"), query.Get("path"), h.unhurried(w, r, stallUpload), o); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *handler) changes(w http.ResponseWriter, r *http.Request) error {
	found, err := h.Containers.ContainerChanges(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, list(found))
}

func (h *handler) export(w http.ResponseWriter, r *http.Request) error {
	a, err := h.Containers.ExportContainer(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	defer a.Close()
	return h.sendTar(w, r, a)
}

func (h *handler) commit(w http.ResponseWriter, r *http.Request) error {
	var cfg container.Config
	if err := h.decode(w, r, &cfg); err != nil {
		return err
	}
	o := container.CommitOptions{
		Ref: r.FormValue("repo"), Author: r.FormValue("author"), Message: r.FormValue("comment"),
		Changes: r.Form["changes"], Config: &cfg, Pause: r.FormValue("pause") == "" || flag(r, "pause"),
	}
	if tag := r.FormValue("tag"); tag != "" && o.Ref != "" {
		o.Ref += ":" + tag
	}
	id, err := h.Containers.CommitContainer(r.Context(), r.FormValue("container"), o)
	if err != nil {
		return err
	}
	return reply(w, http.StatusCreated, struct {
		ID string `json:"Id"`
	}{id})
}

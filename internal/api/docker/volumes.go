package docker

import (
	"net/http"

	"lus/internal/model/volume"
)

func (h *handler) volumes() {
	h.handle("GET /volumes", h.listVolumes)
	h.handle("POST /volumes/create", h.createVolume)
	h.handle("POST /volumes/prune", h.pruneVolumes)
	h.handle("GET /volumes/{name}", h.inspectVolume)
	h.handle("DELETE /volumes/{name}", h.removeVolume)
}

func (h *handler) listVolumes(w http.ResponseWriter, r *http.Request) error {
	f, err := filters(r)
	if err != nil {
		return err
	}
	volumes, err := h.Volumes.ListVolumes(r.Context(), f)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, map[string]any{"Volumes": list(volumes), "Warnings": nil})
}

func (h *handler) createVolume(w http.ResponseWriter, r *http.Request) error {
	var req volume.CreateRequest
	if err := h.decode(w, r, &req); err != nil {
		return err
	}
	v, err := h.Volumes.CreateVolume(r.Context(), &req)
	if err != nil {
		return err
	}
	return reply(w, http.StatusCreated, v)
}

func (h *handler) inspectVolume(w http.ResponseWriter, r *http.Request) error {
	v, err := h.Volumes.InspectVolume(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, v)
}

func (h *handler) removeVolume(w http.ResponseWriter, r *http.Request) error {
	if err := h.Volumes.RemoveVolume(r.Context(), r.PathValue("name"), flag(r, "force")); err != nil {
		return err
	}
	return done(w)
}

func (h *handler) pruneVolumes(w http.ResponseWriter, r *http.Request) error {
	f, err := filters(r)
	if err != nil {
		return err
	}
	removed, freed, err := h.Volumes.PruneVolumes(r.Context(), f)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, map[string]any{"VolumesDeleted": removed, "SpaceReclaimed": freed})
}

package docker

import (
	"net/http"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/network"
)

func (h *handler) networks() {
	h.handle("GET /networks", h.listNetworks)
	h.handle("POST /networks/create", h.createNetwork)
	h.handle("POST /networks/prune", h.pruneNetworks)
	h.handle("GET /networks/{name}", h.inspectNetwork)
	h.handle("DELETE /networks/{name}", h.removeNetwork)
	h.handle("POST /networks/{name}/connect", h.connectNetwork)
	h.handle("POST /networks/{name}/disconnect", h.disconnectNetwork)
}

func (h *handler) listNetworks(w http.ResponseWriter, r *http.Request) error {
	f, err := filters(r)
	if err != nil {
		return err
	}
	networks, err := h.Networks.ListNetworks(r.Context(), f)
	if err != nil {
		return err
	}
	for _, n := range networks {
		n.SubnetChosen, n.Subnet6Chosen = false, false // words of ours
	}
	return reply(w, http.StatusOK, list(networks))
}

// createNetworkRequest is the body of POST /networks/create. IPv4 is on where
// nothing is said of it.
type createNetworkRequest struct {
	network.Network
	EnableIPv4     *bool
	CheckDuplicate bool
}

func (h *handler) createNetwork(w http.ResponseWriter, r *http.Request) error {
	var req createNetworkRequest
	if err := h.decode(w, r, &req); err != nil {
		return err
	}
	n := req.Network
	if req.EnableIPv4 != nil && !*req.EnableIPv4 {
		return errs.New(errs.Unsupported, "networks without IPv4 are not made here: leave --ipv4=false out; with --ipv6 there are both")
	}
	n.EnableIPv4 = true
	id, warning, err := h.Networks.CreateNetwork(r.Context(), &n)
	if err != nil {
		return err
	}
	return reply(w, http.StatusCreated, map[string]string{"Id": id, "Warning": warning})
}

func (h *handler) inspectNetwork(w http.ResponseWriter, r *http.Request) error {
	n, err := h.Networks.InspectNetwork(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	n.SubnetChosen, n.Subnet6Chosen = false, false
	return reply(w, http.StatusOK, n)
}

func (h *handler) removeNetwork(w http.ResponseWriter, r *http.Request) error {
	if err := h.Networks.RemoveNetwork(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	return done(w)
}

func (h *handler) pruneNetworks(w http.ResponseWriter, r *http.Request) error {
	f, err := filters(r)
	if err != nil {
		return err
	}
	removed, err := h.Networks.PruneNetworks(r.Context(), f)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, map[string]any{"NetworksDeleted": removed})
}

func (h *handler) connectNetwork(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Container      string
		EndpointConfig *container.Endpoint
	}
	if err := h.decode(w, r, &req); err != nil {
		return err
	}
	if req.Container == "" {
		return errs.New(errs.Invalid, "Container must name what to connect")
	}
	if err := h.Networks.ConnectNetwork(r.Context(), r.PathValue("name"), req.Container, req.EndpointConfig); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *handler) disconnectNetwork(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Container string
		Force     bool
	}
	if err := h.decode(w, r, &req); err != nil {
		return err
	}
	if req.Container == "" {
		return errs.New(errs.Invalid, "Container must name what to disconnect")
	}
	if err := h.Networks.DisconnectNetwork(r.Context(), r.PathValue("name"), req.Container, req.Force); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

package docker

import (
	"net/http"

	"lus/internal/base/errs"
)

// elsewhere are the endpoints of what one machine without a swarm, without
// plugins does not have. They answer as such an
// engine does, so that clients that look whether it is there go on.
func (h *handler) elsewhere() {
	for _, path := range []string{"/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs"} {
		h.handle(path, noSwarm)
		h.handle(path+"/", noSwarm)
	}
	h.handle("POST /swarm/leave", func(http.ResponseWriter, *http.Request) error {
		return errs.New(errs.Unavailable, "This node is not part of a swarm")
	})
	h.handle("PUT /volumes/{name}", func(http.ResponseWriter, *http.Request) error {
		return errs.New(errs.Unavailable, "volume update only valid for cluster volumes, but swarm is unavailable")
	})
	h.handle("GET /plugins", func(w http.ResponseWriter, _ *http.Request) error { return reply(w, http.StatusOK, []string{}) })
	h.handle("GET /plugins/privileges", noPlugins)
	for _, verb := range []string{"pull", "create"} {
		h.handle("POST /plugins/"+verb, noPlugins)
	}
	// A plugin's name has slashes.
	for _, method := range []string{"GET", "POST", "DELETE"} {
		h.handle(method+" /plugins/", noSuchPlugin)
	}
}

func noSwarm(http.ResponseWriter, *http.Request) error {
	return errs.New(errs.Unavailable, "This node is not a swarm manager. Lus is one machine: use compose to run several services")
}

func noPlugins(http.ResponseWriter, *http.Request) error {
	return errs.New(errs.Unsupported, "plugins are not supported: volumes, networks and logs are Lus's own")
}

func noSuchPlugin(_ http.ResponseWriter, r *http.Request) error {
	return errs.New(errs.NotFound, "plugin %q not found", r.URL.Path[len("/plugins/"):])
}

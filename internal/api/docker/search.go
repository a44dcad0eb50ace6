package docker

import (
	"context"
	"net/http"
	"strconv"

	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// Search finds images in a registry that answers for this host.
type Search interface {
	// SearchImages finds those whose name has the term in it, named as a pull
	// names them. Errs.Unavailable: there is no such registry.
	SearchImages(ctx context.Context, term string, limit int) ([]image.Found, error)
}

// usualFound and mostFound bound the answer, as in Docker.
const (
	usualFound = 25
	mostFound  = 100
)

func (h *handler) search(w http.ResponseWriter, r *http.Request) error {
	term := r.FormValue("term")
	if term == "" {
		return errs.New(errs.Invalid, "term must say what to search for")
	}
	limit := usualFound
	if text := r.FormValue("limit"); text != "" && text != "0" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > mostFound {
			return errs.New(errs.Invalid, "limit %s is outside the range of [1, %d]", text, mostFound)
		}
	}
	if h.Search == nil {
		return errs.New(errs.Unavailable, "there is no registry here to search in")
	}
	found, err := h.Search.SearchImages(r.Context(), term, limit)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, found)
}

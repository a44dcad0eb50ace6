package docker

import (
	"context"
	"net/http"
	"slices"
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
	keep, err := searchFilters(r)
	if err != nil {
		return err
	}
	if h.Search == nil {
		return errs.New(errs.Unavailable, "there is no registry here to search in")
	}
	found, err := h.Search.SearchImages(r.Context(), term, limit)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, slices.DeleteFunc(found, func(i image.Found) bool { return !keep(i) }))
}

// searchFilters reads is-official, is-automated and stars=N (at least so many).
func searchFilters(r *http.Request) (keep func(image.Found) bool, err error) {
	f, err := filters(r)
	if err != nil {
		return nil, err
	}
	stars := 0
	for key, values := range f {
		for _, v := range values {
			switch key {
			case "is-official", "is-automated":
				_, err = strconv.ParseBool(v)
			case "stars":
				var n int
				n, err = strconv.Atoi(v)
				stars = max(stars, n)
			default:
				return nil, errs.New(errs.Invalid, "invalid filter '%s': searches are filtered by is-official, is-automated and stars", key)
			}
			if err != nil {
				return nil, errs.New(errs.Invalid, "invalid filter '%s=%s'", key, v)
			}
		}
	}
	is := func(key string, has bool) bool {
		return f.Match(key, func(v string) bool { want, err := strconv.ParseBool(v); return err == nil && want == has })
	}
	return func(i image.Found) bool {
		return is("is-official", i.IsOfficial) && is("is-automated", i.IsAutomated) && i.StarCount >= stars
	}, nil
}

package compose

import (
	"encoding/json"
	"net/http"
	"strconv"

	"lus/internal/api/status"
	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// maxSource bounds the description of a repository's state.
const maxSource = 1 << 20

// deployments answers what was deployed.
func deployments(mux *http.ServeMux, p Projects) {
	mux.HandleFunc("GET "+Prefix+"deployments", func(w http.ResponseWriter, r *http.Request) {
		list, err := p.Deployments(r.Context(), r.FormValue("project"))
		answer(w, list, err)
	})
	mux.HandleFunc("GET "+Prefix+"deployments/{id}", numbered(func(w http.ResponseWriter, r *http.Request, id int64) {
		d, err := p.Deployment(r.Context(), id)
		answer(w, d, err)
	}))
	mux.HandleFunc("GET "+Prefix+"deployments/{id}/diff", numbered(func(w http.ResponseWriter, r *http.Request, id int64) {
		var to int64
		var err error
		if s := r.FormValue("to"); s != "" {
			if to, err = number(s); err != nil {
				answer(w, nil, err)
				return
			}
		}
		d, err := p.Diff(r.Context(), id, to)
		answer(w, d, err)
	}))
	mux.HandleFunc("POST "+Prefix+"deployments/{id}/source", numbered(func(w http.ResponseWriter, r *http.Request, id int64) {
		src := new(compose.Source)
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSource)).Decode(src); err != nil {
			answer(w, nil, errs.New(errs.Invalid, "the request does not describe a repository: %w", err))
			return
		}
		answer(w, src, p.Describe(r.Context(), id, src))
	}))
}

func numbered(do func(http.ResponseWriter, *http.Request, int64)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := number(r.PathValue("id"))
		if err != nil {
			answer(w, nil, err)
			return
		}
		do(w, r, id)
	}
}

func number(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, errs.New(errs.Invalid, "%q is not the number of a deployment", s)
	}
	return n, nil
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(status.Of(errs.KindOf(err)))
		v = map[string]string{"message": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // who went away needs no answer
}

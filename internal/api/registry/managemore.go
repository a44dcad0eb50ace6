package registry

import (
	"context"
	"net/http"
	"strconv"

	"lus/internal/base/errs"
	"lus/internal/model/registry"
)

// maxFound bounds the answers to a search.
const maxFound = 100

// Bounds is what `lus registry quota` and `upstream` ask, and `search`.
type Bounds interface {
	Quotas(ctx context.Context) ([]registry.Quota, error)
	// SetQuota bounds a repository and all below it, or with "*" each account;
	// below zero takes the bound away.
	SetQuota(ctx context.Context, scope string, limit int64) error
	// Upstreams are told without their passwords.
	Upstreams(ctx context.Context) ([]registry.Upstream, error)
	SetUpstream(ctx context.Context, u registry.Upstream) error
	RemoveUpstream(ctx context.Context, prefix string) error
	Search(ctx context.Context, who registry.Who, term string, limit int) ([]registry.Found, error)
}

// more registers what sets bounds and what searches.
func (d ManageDeps) more(on func(pattern string, do func(r *http.Request) (any, error))) {
	m := d.Manager
	on("GET "+ManagePrefix+"quotas", func(r *http.Request) (any, error) { return m.Quotas(r.Context()) })
	on("PUT "+ManagePrefix+"quotas", func(r *http.Request) (any, error) {
		var q registry.Quota
		if err := decode(r, &q); err != nil {
			return nil, err
		}
		if q.Limit < 0 {
			return nil, errs.New(errs.Invalid, "a quota of %d bytes is none: remove it instead", q.Limit)
		}
		return struct{}{}, m.SetQuota(r.Context(), q.Scope, q.Limit)
	})
	on("DELETE "+ManagePrefix+"quotas", func(r *http.Request) (any, error) {
		return struct{}{}, m.SetQuota(r.Context(), r.URL.Query().Get("scope"), -1)
	})
	on("GET "+ManagePrefix+"upstreams", func(r *http.Request) (any, error) { return m.Upstreams(r.Context()) })
	on("PUT "+ManagePrefix+"upstreams", func(r *http.Request) (any, error) {
		var u registry.Upstream
		if err := decode(r, &u); err != nil {
			return nil, err
		}
		return struct{}{}, m.SetUpstream(r.Context(), u)
	})
	on("DELETE "+ManagePrefix+"upstreams", func(r *http.Request) (any, error) {
		return struct{}{}, m.RemoveUpstream(r.Context(), r.URL.Query().Get("prefix"))
	})
	on("GET "+ManagePrefix+"search", func(r *http.Request) (any, error) {
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil || limit <= 0 || limit > maxFound {
			limit = maxFound
		}
		return m.Search(r.Context(), registry.Who{Root: true}, r.URL.Query().Get("term"), limit)
	})
}

package docker

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/filter"
)

func (h *handler) pruneContainers(w http.ResponseWriter, r *http.Request) error {
	f, err := filters(r)
	if err != nil {
		return err
	}
	removed, freed, err := h.Containers.PruneContainers(r.Context(), f)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, map[string]any{"ContainersDeleted": removed, "SpaceReclaimed": freed})
}

func (h *handler) pruneImages(w http.ResponseWriter, r *http.Request) error {
	f, err := filters(r)
	if err != nil {
		return err
	}
	removed, freed, err := h.Images.PruneImages(r.Context(), f)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, map[string]any{"ImagesDeleted": list(removed), "SpaceReclaimed": freed})
}

func (h *handler) pruneBuild(w http.ResponseWriter, r *http.Request) error {
	f, err := filters(r)
	if err != nil {
		return err
	}
	p := build.Prune{All: flag(r, "all")}
	// keep-storage is what reserved-space was called before 1.48.
	for key, to := range map[string]*int64{"keep-storage": &p.Reserved, "reserved-space": &p.Reserved, "max-used-space": &p.MaxUsed, "min-free-space": &p.MinFree} {
		text := r.FormValue(key)
		if text == "" {
			continue
		}
		if *to, err = strconv.ParseInt(text, 10, 64); err != nil || *to < 0 {
			return errs.New(errs.Invalid, "%s must be a number of bytes, not %q", key, text)
		}
	}
	// No record of the cache bears a label: `docker system prune --filter label=x`
	// asks here too, and means none of them.
	if len(f["label"]) > 0 {
		return reply(w, http.StatusOK, map[string]any{"CachesDeleted": []string{}, "SpaceReclaimed": 0})
	}
	delete(f, "label!") // all of them fit
	if err := cacheFilters(f, &p, time.Now()); err != nil {
		return err
	}
	pruned, err := h.Builder.Prune(r.Context(), p)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, map[string]any{"CachesDeleted": pruned.IDs, "SpaceReclaimed": pruned.Freed})
}

// cacheFilters reads the filters that the build cache is pruned by. Each takes
// one value.
func cacheFilters(f filter.Filters, p *build.Prune, now time.Time) error {
	p.Match = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(f)) {
		values := f[key]
		if len(values) > 1 {
			return errs.New(errs.Invalid, "invalid filter '%s': it takes one value, not %s", key, strings.Join(values, ", "))
		}
		value := strings.Join(values, "")
		switch key {
		case "until", "unused-for":
			age, err := unusedFor(value, now)
			if err != nil {
				return err
			}
			p.UnusedFor = age
		case "id", "parent", "type", "description":
			if value == "" {
				return errs.New(errs.Invalid, "invalid filter '%s': it needs a value", key)
			}
			p.Match[key] = value
		case "inuse", "shared", "private":
			if on, err := strconv.ParseBool(cmp.Or(value, "true")); err != nil || !on {
				return errs.New(errs.Invalid, "invalid filter '%s=%s': it can only be asked to be true", key, value)
			}
			p.Match[key] = ""
		default:
			return errs.New(errs.Invalid, "invalid filter '%s'; the build cache is pruned by until, id, parent, type, description, inuse, shared and private", key)
		}
	}
	return nil
}

// unusedFor reads "24h", or a moment.
func unusedFor(s string, now time.Time) (time.Duration, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return d, nil
	}
	at, err := moment(s)
	if err != nil || at.IsZero() {
		return 0, errs.New(errs.Invalid, "invalid time %q: write 24h, 2006-01-02T15:04:05Z or seconds since 1970", s)
	}
	return max(now.Sub(at), 0), nil
}

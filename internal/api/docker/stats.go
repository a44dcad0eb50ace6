package docker

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// sampling is the pause between two samples: Docker's, which clients count on.
const sampling = time.Second

// stats answers with one sample, with one that has the sample a second before
// beside it (stream=0), or with a sample each second.
func (h *handler) stats(w http.ResponseWriter, r *http.Request) error {
	stream := r.FormValue("stream") == "" || flag(r, "stream")
	once := flag(r, "one-shot")
	if stream && once {
		return errs.New(errs.Invalid, "cannot have stream=true and one-shot=true")
	}
	name := r.PathValue("name")
	s, err := h.Containers.ContainerStats(r.Context(), name)
	if err != nil {
		return err
	}
	name = s.ID // a name may go to another container meanwhile
	w.Header().Set("Content-Type", "application/json")
	if stream {
		w.WriteHeader(http.StatusOK)
		return h.streamStats(w, r, name, s)
	}
	if !once && !s.Read.IsZero() {
		if s, err = h.nextStats(r.Context(), name, s, time.NewTimer(sampling).C); err != nil {
			return err
		}
	}
	return reply(w, http.StatusOK, s)
}

// streamStats sends samples until the container or the client is gone.
func (h *handler) streamStats(w http.ResponseWriter, r *http.Request, name string, s *container.Stats) error {
	out := json.NewEncoder(w)
	tick := time.NewTicker(sampling)
	defer tick.Stop()
	for {
		if err := out.Encode(s); err != nil {
			return errs.New(errs.Unavailable, "the client went away: %w", err)
		}
		flush(w)
		next, err := h.nextStats(r.Context(), name, s, tick.C)
		if errs.Is(err, errs.NotFound) || r.Context().Err() != nil {
			return nil // the end of the stream tells it
		}
		if err != nil {
			return err
		}
		s = next
	}
}

// nextStats waits, reads again, and puts the sample before beside it.
func (h *handler) nextStats(ctx context.Context, name string, before *container.Stats, at <-chan time.Time) (*container.Stats, error) {
	select {
	case <-at:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s, err := h.Containers.ContainerStats(ctx, name)
	if err != nil {
		return nil, err
	}
	if !s.Read.IsZero() {
		s.PreRead, s.PreCPU = before.Read, before.CPU
	}
	return s, nil
}

package compose

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/image"
)

// fetch pulls or builds an image; a bound of the user's counts for them too.
func (r *runner) fetch(ctx context.Context, st *step) (status string, err error) {
	if r.project.Parallel > 0 {
		free, err := r.slot(ctx)
		if err != nil {
			return "", err
		}
		defer free()
	}
	switch {
	case st.action == compose.PullImage:
		return "", r.pull(ctx, st)
	case !st.pullFirst:
		return "", r.build(ctx, st)
	}
	err = r.pull(ctx, st)
	if err == nil {
		return "Pulled", nil
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	why := "it cannot be pulled: " + err.Error()
	if errs.Is(err, errs.NotFound) {
		why = "no registry gives it" // as is usual
	}
	r.tell(compose.Event{Text: fmt.Sprintf(" Image %s is built, as %s\n", st.name, why)})
	r.tell(compose.Event{Kind: st.kind, Name: st.name, Status: "Building"})
	return "", r.build(ctx, st)
}

func (r *runner) pull(ctx context.Context, st *step) error {
	var auth *image.Auth
	if a, ok := r.project.Auth[registryOf(st.name)]; ok {
		auth = &a
	}
	platform := ""
	if st.service != nil {
		platform = st.service.Platform
	}
	far := &howFar{layers: map[string]image.ProgressDetail{}}
	return r.Images.PullImage(ctx, st.name, platform, auth, func(p image.Progress) {
		if text := far.of(p); text != "" && !st.quiet {
			r.tell(compose.Event{Kind: "Image", Name: st.name, Status: "Pulling", Progress: text})
		}
		if p.Detail == nil && p.Status != "" && !st.quiet {
			r.tell(compose.Event{Kind: "Image", Name: st.name, Text: p.Status + "\n"})
		}
	})
}

// howFar adds up how far the layers of a pull are.
type howFar struct {
	layers map[string]image.ProgressDetail
	told   time.Time
}

// of is how far the pull is, as far as there is something new to tell: five times
// a second at most.
func (h *howFar) of(p image.Progress) string {
	if p.Status != "Downloading" || p.Detail == nil || p.Detail.Total == 0 {
		return ""
	}
	h.layers[p.ID] = *p.Detail
	if time.Since(h.told) < 200*time.Millisecond {
		return ""
	}
	h.told = time.Now()
	var all image.ProgressDetail
	for _, l := range h.layers {
		all.Current, all.Total = all.Current+l.Current, all.Total+l.Total
	}
	return units.HumanSize(float64(all.Current)) + " / " + units.HumanSize(float64(all.Total))
}

// registryOf is the registry's host in an image's name.
func registryOf(ref string) string {
	host, _, ok := strings.Cut(ref, "/")
	if !ok || (!strings.ContainsAny(host, ".:") && host != "localhost") {
		return "docker.io"
	}
	return host
}

func (r *runner) build(ctx context.Context, st *step) error {
	w := &lines{emit: func(text string) {
		if !st.quiet {
			r.tell(compose.Event{Kind: "Image", Name: st.name, Text: text})
		}
	}}
	_, err := r.Builder.Build(ctx, st.build, w)
	w.flush()
	if err != nil {
		return about("image", st.name, err)
	}
	return nil
}

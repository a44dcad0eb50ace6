package docker

import (
	"context"
	"io"
	"net/http"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/image"
)

// saveImages answers GET /images/get?names=A&names=B.
func (h *handler) saveImages(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errs.With(errs.Invalid, err)
	}
	var refs []string
	for _, n := range r.Form["names"] {
		refs = append(refs, strings.Split(n, ",")...)
	}
	if len(refs) == 0 {
		return errs.New(errs.Invalid, "names must say which images to save")
	}
	return h.save(w, r, refs)
}

func (h *handler) save(w http.ResponseWriter, r *http.Request, refs []string) error {
	for _, ref := range refs {
		if err := h.checkPlatform(r, ref); err != nil {
			return err
		}
	}
	return h.sendTar(w, r, &container.Archive{Write: func(ctx context.Context, out io.Writer) error {
		return h.Images.SaveImages(ctx, refs, out)
	}})
}

func (h *handler) loadImages(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query() // the body is a tar and no form
	if query.Get("platform") != "" {
		return errs.New(errs.Unsupported, "an archive is loaded as it is: load it without naming a platform")
	}
	out := newProgress(w)
	send := out.send
	if isTrue(query.Get("quiet")) {
		send = func(p image.Progress) {
			if p.Stream != "" {
				out.send(p)
			}
		}
	}
	return out.end(h.Images.LoadImages(r.Context(), h.unhurried(w, r, stallUpload), send))
}

func (h *handler) pushImage(w http.ResponseWriter, r *http.Request, name string) error {
	a, err := auth(r)
	if err != nil {
		return err
	}
	if tag := r.FormValue("tag"); tag != "" {
		name += ":" + tag
	}
	if err := h.checkPlatform(r, name); err != nil {
		return err
	}
	out := newProgress(w)
	return out.end(h.Images.PushImage(r.Context(), name, r.FormValue("compression"), a, out.send))
}

package docker

import (
	"net/http"
	"slices"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/container"
	"lus/internal/model/volume"
)

// usage is the body of GET /system/df. What was not asked for is null.
type usage struct {
	LayersSize int64
	// Registry is Lus's own, part of LayersSize: clients of Docker know no registry.
	Registry   *registryUsage `json:",omitempty"`
	Images     []imageSummary
	Containers []summary
	Volumes    []*volume.Volume
	BuildCache []build.Record
}

// registryUsage is what the registry of this host keeps beside the images.
type registryUsage struct {
	Repositories int
	Size         int64
}

// diskUsage tells what takes how much of the disk, of all kinds or of those
// asked for.
func (h *handler) diskUsage(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return errs.New(errs.Invalid, "invalid query: %w", err)
	}
	kinds := r.Form["type"]
	for _, k := range kinds {
		if !slices.Contains([]string{"container", "image", "volume", "build-cache"}, k) {
			return errs.New(errs.Invalid, "unknown object type: %s", k)
		}
	}
	asked := func(kind string) bool { return len(kinds) == 0 || slices.Contains(kinds, kind) }
	var out usage
	for _, part := range []struct {
		kind string
		fill func(*http.Request, *usage) error
	}{{"image", h.imagesUsage}, {"container", h.containersUsage}, {"volume", h.volumesUsage}, {"build-cache", h.cacheUsage}} {
		if !asked(part.kind) {
			continue
		}
		if err := part.fill(r, &out); err != nil {
			return err
		}
	}
	return reply(w, http.StatusOK, out)
}

func (h *handler) imagesUsage(r *http.Request, out *usage) error {
	ctx := r.Context()
	u, err := h.Images.Usage(ctx)
	if err != nil {
		return err
	}
	count, err := h.containersOfImages(ctx)
	if err != nil {
		return err
	}
	out.LayersSize, out.Images = u.Total, []imageSummary{}
	if u.Repositories > 0 {
		out.Registry = &registryUsage{u.Repositories, u.Registry}
	}
	for _, i := range u.Images {
		s := summarizeImage(r, i)
		s.SharedSize, s.Containers = i.SharedSize, count[i.ID]
		out.Images = append(out.Images, s)
	}
	return nil
}

func (h *handler) containersUsage(r *http.Request, out *usage) error {
	ctx := r.Context()
	containers, err := h.Containers.ListContainers(ctx, container.ListOptions{All: true, Size: true})
	if err != nil {
		return err
	}
	out.Containers = []summary{}
	for _, c := range containers {
		out.Containers = append(out.Containers, summarize(c))
	}
	return nil
}

func (h *handler) volumesUsage(r *http.Request, out *usage) error {
	ctx := r.Context()
	volumes, err := h.Volumes.VolumesUsage(ctx)
	out.Volumes = list(volumes)
	return err
}

func (h *handler) cacheUsage(r *http.Request, out *usage) error {
	ctx := r.Context()
	records, err := h.Builder.Cache(ctx)
	out.BuildCache = list(records)
	return err
}

package compose

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/image"
)

// act carries out one step; status replaces the usual word where it is not empty.
func (r *runner) act(ctx context.Context, st *step) (status string, err error) {
	switch st.action {
	case compose.Keep, updated:
		return "", nil
	case updateService:
		return "", r.update(ctx, st)
	case waitFor:
		return r.wait(ctx, st)
	case confirmAll:
		return "", r.confirmed(ctx, st)
	case compose.PullImage, compose.BuildImage:
		return r.fetch(ctx, st)
	case compose.RunHook:
		return "", r.runHook(ctx, st)
	}
	free, err := r.slot(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	switch st.action {
	case compose.CreateNetwork:
		n := *st.network
		_, warning, err := r.Engine.CreateNetwork(ctx, &n)
		if warning != "" {
			r.tell(compose.Event{Warning: warning})
		}
		return "", about("network", st.name, err)
	case renewNetwork:
		return "", about("network", st.name, r.renew(ctx, st))
	case connectContainer:
		return "", about("container", st.name, r.Engine.ConnectNetwork(ctx, st.network.Name, st.old.ID, st.endpoint))
	case compose.CreateVolume:
		_, err := r.Engine.CreateVolume(ctx, st.volume)
		return "", about("volume", st.name, err)
	case compose.CreateContainer:
		return "", about("container", st.name, r.create(ctx, st))
	case renameContainer:
		return "", about("container", st.name, r.rename(ctx, st))
	case compose.StartContainer:
		return "", about("container", st.name, r.start(ctx, st))
	case compose.StopContainer:
		return "", about("container", st.name, r.stop(ctx, st))
	case compose.RemoveContainer:
		return "", about("container", st.name, ignore(r.Engine.RemoveContainer(ctx, st.old.ID, container.RemoveOptions{Force: true, Volumes: st.volumes}), errs.NotFound))
	case compose.RemoveImage:
		return r.removeImage(ctx, st)
	case compose.RemoveNetwork:
		return r.removeShared(r.Engine.RemoveNetwork(ctx, st.name), "network", st.name)
	case compose.RemoveVolume:
		return r.removeShared(r.Engine.RemoveVolume(ctx, st.name, false), "volume", st.name)
	}
	return "", errs.New(errs.Internal, "a plan has an unknown step %q", st.action)
}

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

// start starts a container and runs what is to be run once it has.
func (r *runner) start(ctx context.Context, st *step) error {
	id := r.idOf(st)
	if err := r.Engine.StartContainer(ctx, id); err != nil {
		return err
	}
	if st.service == nil {
		return nil
	}
	return r.hooks(ctx, id, "post_start", st.service.PostStart)
}

// stop runs what is to be run before and stops the container.
func (r *runner) stop(ctx context.Context, st *step) error {
	if st.old.State.Status == container.Running {
		if err := r.hooks(ctx, st.old.ID, "pre_stop", r.preStop(st.old)); err != nil {
			return err
		}
	}
	if err := r.Engine.StopContainer(ctx, st.old.ID, "", st.timeout); err != nil {
		return ignore(err, errs.NotFound, errs.NotModified)
	}
	if c, err := r.Engine.InspectContainer(ctx, st.old.ID, false); err == nil && c.StopNote != "" {
		r.tell(compose.Event{Warning: c.StopNote})
	}
	return nil
}

// removeImage leaves an image that something else uses, and says so.
func (r *runner) removeImage(ctx context.Context, st *step) (string, error) {
	_, err := r.Images.RemoveImage(ctx, st.name, false, false)
	return r.removeShared(err, "image", st.name)
}

// removeShared leaves what something outside the project still uses.
func (r *runner) removeShared(err error, kind, name string) (string, error) {
	if errs.Is(err, errs.Conflict) {
		r.tell(compose.Event{Warning: fmt.Sprintf("%s %s is kept: %v", kind, name, err)})
		return "Resource is still in use", nil
	}
	return "", about(kind, name, ignore(err, errs.NotFound))
}

func about(kind, name string, err error) error {
	if err == nil {
		return nil
	}
	return errs.New(errs.KindOf(err), "%s %s: %w", kind, name, err)
}

func ignore(err error, kinds ...errs.Kind) error {
	if err != nil && slices.Contains(kinds, errs.KindOf(err)) {
		return nil
	}
	return err
}

func key(st *step) string { return st.service.Name + "/" + strconv.Itoa(st.number) }

func (r *runner) remember(st *step, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids[key(st)] = id
}

func (r *runner) idOf(st *step) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[key(st)]
}

// create makes a container; one that replaces another keeps its anonymous volumes.
func (r *runner) create(ctx context.Context, st *step) error {
	req, err := r.request(st)
	if err != nil {
		return err
	}
	if st.old != nil {
		req.Labels[compose.LabelReplace] = st.old.Name
		if !st.fresh {
			req.HostConfig.Mounts = inherit(req.HostConfig.Mounts, st.old.Mounts)
		}
	}
	if req.Files, err = initial(st.service.Files); err != nil {
		return err
	}
	name := st.name
	if st.old != nil && st.old.Name == name {
		name = ids.Short(st.old.ID) + "_" + name // until the old one is gone
	}
	resp, err := r.Engine.CreateContainer(ctx, name, req)
	if err != nil {
		return err
	}
	for _, w := range resp.Warnings {
		r.tell(compose.Event{Warning: st.name + ": " + w})
	}
	r.remember(st, resp.ID)
	return nil
}

// rename gives a container its name, unless it has it.
func (r *runner) rename(ctx context.Context, st *step) error {
	id := r.idOf(st)
	c, err := r.Engine.InspectContainer(ctx, id, false)
	if err != nil || c.Name == st.name {
		return err
	}
	return r.Engine.RenameContainer(ctx, id, st.name)
}

// request is the service's create request with what differs by container.
func (r *runner) request(st *step) (*container.CreateRequest, error) {
	req := st.service.Create
	host := *req.HostConfig
	req.HostConfig = &host
	host.Mounts = slices.Clone(host.Mounts)
	req.Labels = maps.Clone(req.Labels)
	req.Labels[compose.LabelNumber] = strconv.Itoa(st.number)
	req.Labels[compose.LabelImage] = st.imageID
	if req.Labels[compose.LabelOneoff] != "True" {
		host.ServiceGroup = r.project.Name + "/" + st.service.Name
	}
	return &req, r.join(&host)
}

// join puts containers in place of the services whose namespaces and volumes are
// shared.
func (r *runner) join(host *container.HostConfig) error {
	for _, mode := range []*string{&host.NetworkMode, &host.IpcMode, &host.PidMode} {
		name, ok := strings.CutPrefix(*mode, "service:")
		if !ok {
			continue
		}
		id := r.firstOf(name)
		if id == "" {
			return errs.New(errs.Invalid, "it shares a namespace with service %s, which has no container", name)
		}
		*mode = "container:" + id
	}
	host.VolumesFrom = slices.Clone(host.VolumesFrom)
	for i, from := range host.VolumesFrom {
		if other, ok := strings.CutPrefix(from, "container:"); ok {
			host.VolumesFrom[i] = other
			continue
		}
		name, mode, hasMode := strings.Cut(from, ":")
		id := r.firstOf(name)
		if id == "" {
			return errs.New(errs.Invalid, "it takes volumes from service %s, which has no container", name)
		}
		if hasMode {
			id += ":" + mode
		}
		host.VolumesFrom[i] = id
	}
	return nil
}

// firstOf is the id of a service's first container; empty where it has none.
func (r *runner) firstOf(service string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[service+"/1"]
}

// inherit gives mounts the volumes that nobody named and that the old container
// holds at the same places.
func inherit(mounts []container.Mount, old []container.MountPoint) []container.Mount {
	taken := map[string]int{}
	for i, m := range mounts {
		taken[m.Target] = i
	}
	for _, o := range old {
		if o.Type != "volume" || o.Name == "" {
			continue
		}
		i, ok := taken[o.Destination]
		switch {
		case ok && mounts[i].Type == "volume" && mounts[i].Source == "":
			mounts[i].Source = o.Name
		case !ok && anonymous(o.Name):
			mounts = append(mounts, container.Mount{Type: "volume", Source: o.Name, Target: o.Destination, ReadOnly: !o.RW})
		}
	}
	return mounts
}

// anonymous volumes are named by 64 hexadecimal digits.
func anonymous(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
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

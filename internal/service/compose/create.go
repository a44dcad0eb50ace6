package compose

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

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
	req.Env = withProxies(req.Env, r.project.Proxies)
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

// firstOf is the id of a service's first container: of those that stay or were
// made, the one with the lowest number. It is empty where there is none.
func (r *runner) firstOf(service string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, lowest := "", 0
	for at, its := range r.ids {
		number, ok := strings.CutPrefix(at, service+"/")
		n, err := strconv.Atoi(number)
		if ok && err == nil && (id == "" || n < lowest) {
			id, lowest = its, n
		}
	}
	return id
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

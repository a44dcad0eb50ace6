package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/filter"
	"lus/internal/service/engine/internal/bus"
	"lus/internal/service/engine/internal/spec"
)

// InspectContainer returns the container's record, with what follows from it
// and is not kept.
func (e *Engine) InspectContainer(ctx context.Context, name string, size bool) (*container.Container, error) {
	u, err := e.find(name)
	if err != nil {
		return nil, err
	}
	rec := u.full()
	host := *rec.HostConfig
	host.MaskedPaths, host.ReadonlyPaths = spec.HiddenPaths(&host)
	host.Links = e.shownLinks(rec)
	rec.HostConfig = &host
	p := e.paths(rec.ID)
	rec.Root = container.Root{Upper: p.upper, Work: p.work}
	if layers, err := e.Images.Layers(ctx, rec.Image); err == nil {
		rec.Root.Lower = layers.Dirs
	}
	if rec.State.Running() {
		// The overlay is in the container's own mount namespace; this is the
		// path at which the host sees it.
		rec.Root.Merged = fmt.Sprintf("/proc/%d/root", rec.State.Pid)
	}
	if size {
		e.measure(ctx, rec)
	}
	return rec, nil
}

// measure fills in the sizes: of the writable layer, and with the image's.
func (e *Engine) measure(ctx context.Context, rec *container.Container) {
	rw := diskUsage(e.paths(rec.ID).upper)
	root := rw
	if img, err := e.Images.InspectImage(ctx, rec.Image); err == nil {
		root += img.Size
	}
	rec.SizeRw, rec.SizeRootFs = &rw, &root
}

// ListContainers lists the running containers, or all, that match, newest first.
func (e *Engine) ListContainers(ctx context.Context, o container.ListOptions) ([]*container.Container, error) {
	q, err := e.query(ctx, o.Filters)
	if err != nil {
		return nil, err
	}
	// A status asked for is looked for everywhere, as is what came before or
	// after another; a limit speaks of all containers.
	all := o.All || o.Limit > 0 || o.Filters.Has("status") || o.Filters.Has("exited") || o.Filters.Has("before") || o.Filters.Has("since")
	out := []*container.Container{}
	for _, u := range e.all() {
		rec := u.full()
		if u.made.Load() && (all || rec.State.Running() || rec.State.Status == container.Restarting) && q.match(rec) {
			out = append(out, rec)
		}
	}
	slices.SortFunc(out, func(a, b *container.Container) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	if o.Limit > 0 && len(out) > o.Limit {
		out = out[:o.Limit]
	}
	names := e.linkNames()
	for _, rec := range out {
		rec.LinkNames = names[rec.ID]
	}
	if o.Size {
		for _, rec := range out {
			e.measure(ctx, rec)
		}
	}
	return out, nil
}

// query is a list's filters, with what they name looked up once.
type query struct {
	f             filter.Filters
	before, since time.Time
	images        map[string]bool // ids, of ancestor: the image and those made from it
	networks      map[string]bool // ids
	exited        []int
}

func (e *Engine) query(ctx context.Context, f filter.Filters) (*query, error) {
	err := known(f, "id", "name", "status", "label", "ancestor", "network", "volume", "exited", "before", "since", "health", "publish", "expose", "is-task", "isolation")
	if err != nil {
		return nil, err
	}
	q := &query{f: f, images: map[string]bool{}, networks: map[string]bool{}}
	for _, s := range f["status"] {
		if !slices.Contains([]string{container.Created, container.Running, container.Paused, container.Restarting, container.Removing, container.Exited, container.Dead}, s) {
			return nil, errs.New(errs.Invalid, "invalid filter 'status=%s'", s)
		}
	}
	for _, s := range f["health"] {
		if !slices.Contains([]string{container.NoHealthcheck, container.Starting, container.Healthy, container.Unhealthy}, s) {
			return nil, errs.New(errs.Invalid, "invalid filter 'health=%s'", s)
		}
	}
	for _, s := range f["exited"] {
		code, err := strconv.Atoi(s)
		if err != nil {
			return nil, errs.New(errs.Invalid, "invalid filter 'exited=%s'", s)
		}
		q.exited = append(q.exited, code)
	}
	for _, key := range []string{"publish", "expose"} {
		for _, s := range f[key] {
			if _, _, _, err := portFilter(s); err != nil {
				return nil, errs.New(errs.Invalid, "invalid filter '%s=%s'", key, s)
			}
		}
	}
	for key, to := range map[string]*time.Time{"before": &q.before, "since": &q.since} {
		for _, s := range f[key] {
			u, err := e.find(s)
			if err != nil {
				return nil, err
			}
			*to = u.snapshot().Created
		}
	}
	e.findDescent(ctx, q)
	for _, s := range f["network"] {
		if n, err := e.network(s); err == nil {
			q.networks[n.ID] = true
		}
	}
	return q, nil
}

func (q *query) match(c *container.Container) bool {
	f := q.f
	return f.Match("id", func(w string) bool { return strings.HasPrefix(c.ID, w) }) &&
		f.Match("name", func(w string) bool { return nameMatches(c.Name, w) }) &&
		f.Match("status", func(w string) bool { return c.State.Status == w }) &&
		bus.All(f["label"], func(w string) bool { return bus.Label(c.Config.Labels, w) }) &&
		(!f.Has("ancestor") || q.images[c.Image] || slices.Contains(f["ancestor"], c.Config.Image)) &&
		(!f.Has("network") || q.onNetwork(c)) &&
		f.Match("volume", func(w string) bool {
			return slices.ContainsFunc(c.Mounts, func(m container.MountPoint) bool {
				return m.Name == w || m.Destination == w || m.Source == w
			})
		}) &&
		(!f.Has("exited") || q.hasExited(c)) &&
		(q.before.IsZero() || c.Created.Before(q.before)) &&
		(q.since.IsZero() || c.Created.After(q.since)) &&
		f.Match("health", func(w string) bool { return health(c) == w }) &&
		f.Match("publish", func(w string) bool { return hasPort(w, c, true) }) &&
		f.Match("expose", func(w string) bool { return hasPort(w, c, false) }) &&
		f.Match("is-task", func(w string) bool { return !yes(w) })
}

// nameMatches: a part of the name is enough; ^ and $ anchor it, and a slash
// before the name is Docker's way to write it.
func nameMatches(name, want string) bool {
	want, begin := strings.CutPrefix(want, "^")
	if rest, ok := strings.CutPrefix(want, "/"); ok {
		want, begin = rest, true
	}
	want, end := strings.CutSuffix(want, "$")
	switch {
	case begin && end:
		return name == want
	case begin:
		return strings.HasPrefix(name, want)
	case end:
		return strings.HasSuffix(name, want)
	}
	return strings.Contains(name, want)
}

func (q *query) onNetwork(c *container.Container) bool {
	for _, ep := range c.Networks {
		if q.networks[ep.NetworkID] {
			return true
		}
	}
	return false
}

func (q *query) hasExited(c *container.Container) bool {
	return c.State.Status == container.Exited && slices.Contains(q.exited, c.State.ExitCode)
}

func health(c *container.Container) string {
	if c.State.Health == nil {
		return container.NoHealthcheck
	}
	return c.State.Health.Status
}

// portFilter reads "80", "80/udp" or "8000-8010/tcp".
func portFilter(s string) (lo, hi int, proto string, err error) {
	span, proto, ok := strings.Cut(s, "/")
	if !ok {
		proto = "tcp"
	}
	from, to, ok := strings.Cut(span, "-")
	if !ok {
		to = from
	}
	if lo, err = strconv.Atoi(from); err != nil {
		return 0, 0, "", err
	}
	hi, err = strconv.Atoi(to)
	return lo, hi, strings.ToLower(proto), err
}

func hasPort(want string, c *container.Container, published bool) bool {
	lo, hi, proto, err := portFilter(want)
	if err != nil {
		return false
	}
	in := func(key string) bool {
		p, err := container.ParsePort(key)
		return err == nil && p.Proto == proto && int(p.Number) >= lo && int(p.Number) <= hi
	}
	if !published {
		for key := range c.Config.ExposedPorts {
			if in(key) {
				return true
			}
		}
		return false
	}
	for key := range c.HostConfig.PortBindings {
		if in(key) {
			return true
		}
	}
	return hasHostPort(c.Ports, proto, in)
}

// hasHostPort: Docker's manual looks for the container's port, its engine for
// the host's; who asks for either finds what he means.
func hasHostPort(ports container.PortMap, proto string, in func(key string) bool) bool {
	for key, bindings := range ports {
		for _, b := range bindings {
			if strings.HasSuffix(key, "/"+proto) && in(b.HostPort+"/"+proto) {
				return true
			}
		}
	}
	return false
}

// timeFilter reads the value of an until filter.
func timeFilter(values []string, now time.Time) (time.Time, error) {
	if len(values) == 0 {
		return time.Time{}, nil
	}
	return filter.Moment(values[0], now)
}

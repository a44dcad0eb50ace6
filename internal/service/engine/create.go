package engine

import (
	"cmp"
	"context"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/ociruntime"
	"lus/internal/model/container"
	"lus/internal/model/image"
	model "lus/internal/model/network"
	"lus/internal/service/engine/internal/merge"
	"lus/internal/service/engine/internal/mounts"
	"lus/internal/service/engine/internal/names"
	"lus/internal/service/engine/internal/spec"
)

// CreateContainer makes a container that can be started. Nothing is left of one
// that could not be made.
func (e *Engine) CreateContainer(ctx context.Context, name string, req *container.CreateRequest) (*container.CreateResponse, error) {
	name = strings.TrimPrefix(name, "/")
	if name != "" {
		if err := names.Check("container", name); err != nil {
			return nil, err
		}
	}
	if req.Image == "" {
		return nil, errs.New(errs.Invalid, "no image was named: say which one the container is made from")
	}
	img, err := e.Images.Resolve(ctx, req.Image)
	if err != nil {
		return nil, err
	}
	rec, ms, err := e.plan(req, img)
	if err != nil {
		return nil, err
	}
	u := newUnit(rec, ms)
	if err := e.enter(u, name); err != nil {
		return nil, err
	}
	if req.Starts && joinsNamespace(rec.HostConfig) {
		e.prepare(u)
	}
	if err := e.furnish(ctx, u, img, req); err != nil {
		e.withdraw(u)
		return nil, err
	}
	u.made.Store(true)
	now := u.snapshot()
	e.tell(&now, "create")
	warnings := spec.Warnings(rec.HostConfig)
	if w := foreign(img); w != "" && !req.AnyPlatform {
		warnings = append(warnings, w)
	}
	return &container.CreateResponse{ID: rec.ID, Warnings: warnings}, nil
}

// foreign is the warning that an image is not for this host, as Docker words it.
func foreign(img *image.Image) string {
	is, here := img.OS+"/"+img.Architecture, runtime.GOOS+"/"+runtime.GOARCH
	if img.OS == "" || img.Architecture == "" || is == here {
		return ""
	}
	return "The requested image's platform (" + is + ") does not match the detected host platform (" + here + ") and no specific platform was requested"
}

// plan checks the request and writes the record, without touching anything.
func (e *Engine) plan(req *container.CreateRequest, img *image.Image) (*container.Container, []mounts.Mount, error) {
	host := container.HostConfig{}
	if req.HostConfig != nil {
		host = *req.HostConfig
	}
	h := &host
	cfg, err := merge.Config(&req.Config, &img.Config)
	if err != nil {
		return nil, nil, err
	}
	defaults(cfg, h)
	if err := spec.Check(cfg, h); err != nil {
		return nil, nil, err
	}
	ms, err := mounts.Parse(h, cfg.Volumes)
	if err != nil {
		return nil, nil, err
	}
	if ms, err = e.volumesFrom(h.VolumesFrom, ms); err != nil {
		return nil, nil, err
	}
	nets, err := e.planNetworks(h, withMAC(req, h.NetworkMode))
	if err != nil {
		return nil, nil, err
	}
	confined, err := e.profileFor(h)
	if err != nil {
		return nil, nil, err
	}
	args := merge.Command(cfg)
	id := ids.New()
	switch {
	case cfg.Hostname != "" || h.UTSMode == "host":
	case ownNetwork(h):
		cfg.Hostname = ids.Short(id)
	case h.NetworkMode == "host":
		// Whoever is on the host's network goes by the host's name there.
		if cfg.Hostname, err = os.Hostname(); err != nil {
			return nil, nil, err
		}
	}
	p := e.paths(id)
	logPath := p.log
	if unlogged(h) {
		logPath = ""
	}
	return &container.Container{
		ID: id, Created: e.Now(), Path: args[0], Args: args[1:], Image: img.ID, Config: cfg, HostConfig: h,
		State: container.State{Status: container.Created}, Networks: nets, Driver: "overlay2", AppArmorProfile: confined,
		LogPath: logPath, HostnamePath: p.hostname, HostsPath: p.hosts, ResolvConfPath: p.resolv,
	}, ms, nil
}

// defaults fills in what an absent word means, as inspect shows it.
func defaults(cfg *container.Config, h *container.HostConfig) {
	if h.NetworkMode == "" || h.NetworkMode == "default" {
		h.NetworkMode = model.Bridge
	}
	if cfg.NetworkOff {
		h.NetworkMode = model.None
	}
	if h.IpcMode == "" {
		h.IpcMode = "private"
	}
	if h.RestartPolicy.Name == "" {
		h.RestartPolicy.Name = "no"
	}
	if h.LogConfig.Type == "" {
		h.LogConfig.Type = "json-file"
	}
	if h.LogConfig.Config == nil {
		h.LogConfig.Config = map[string]string{}
	}
	h.MemorySwap = spec.DefaultSwap(&h.Resources)
	if h.ShmSize == 0 {
		h.ShmSize = 64 << 20
	}
	if h.Runtime == "" {
		h.Runtime = ociruntime.Own
	}
	if h.PortBindings == nil {
		h.PortBindings = container.PortMap{}
	}
	for port := range h.PortBindings {
		if p, err := container.ParsePort(port); err == nil {
			cfg.ExposedPorts[p.String()] = struct{}{} // what is published is exposed
		}
	}
}

// planNetworks names the networks the container is to be on.
func (e *Engine) planNetworks(h *container.HostConfig, nc *container.NetworkingConfig) (map[string]*container.Endpoint, error) {
	out := map[string]*container.Endpoint{}
	asked := map[string]*container.Endpoint{}
	if nc != nil {
		maps.Copy(asked, nc.EndpointsConfig)
	}
	if strings.HasPrefix(h.NetworkMode, "container:") {
		if len(asked) > 0 {
			return nil, errs.New(errs.Invalid, "conflicting options: a container that shares another's network cannot be on networks of its own")
		}
		_, err := e.find(strings.TrimPrefix(h.NetworkMode, "container:"))
		return out, err
	}
	primary, err := e.networkToJoin(h.NetworkMode)
	if err != nil {
		return nil, err
	}
	h.NetworkMode = primary.Name
	if primary.Name == model.Bridge {
		if h.Links, err = e.planLinks(slices.Concat(h.Links, takeLinks(asked))); err != nil {
			return nil, err
		}
	}
	for name, ep := range asked {
		if name == "default" {
			name = model.Bridge
		}
		n, err := e.networkToJoin(name)
		if err != nil {
			return nil, err
		}
		if out[n.Name], err = planEndpoint(n, ep); err != nil {
			return nil, err
		}
	}
	if out[primary.Name] == nil {
		out[primary.Name] = &container.Endpoint{NetworkID: primary.ID}
	}
	if primary.Name != model.Bridge {
		if err := moveLinks(h, out[primary.Name]); err != nil {
			return nil, err
		}
	}
	if len(out) > 1 && !onWire(primary) {
		return nil, errs.New(errs.Invalid, "conflicting options: cannot attach both user-defined and non-user-defined network-modes: %s stands alone", primary.Name)
	}
	return out, ifNames(out)
}

// withMAC is the request's networks with the address that old clients ask for
// beside them: it is meant for the first.
func withMAC(req *container.CreateRequest, primary string) *container.NetworkingConfig {
	nc := req.NetworkingConfig
	if req.MacAddress == "" || strings.HasPrefix(primary, "container:") {
		return nc
	}
	out := &container.NetworkingConfig{EndpointsConfig: map[string]*container.Endpoint{}}
	if nc != nil {
		maps.Copy(out.EndpointsConfig, nc.EndpointsConfig)
	}
	var ep container.Endpoint
	if have := out.EndpointsConfig[primary]; have != nil {
		ep = *have
	}
	ep.MacAddress = cmp.Or(ep.MacAddress, req.MacAddress)
	out.EndpointsConfig[primary] = &ep
	return out
}

// takeLinks takes the links that were asked for on the default bridge.
func takeLinks(asked map[string]*container.Endpoint) (links []string) {
	for _, name := range []string{"default", model.Bridge} {
		if ep := asked[name]; ep != nil && len(ep.Links) > 0 {
			links = append(links, ep.Links...)
			plain := *ep
			plain.Links = nil
			asked[name] = &plain
		}
	}
	return links
}

// moveLinks: old clients write the links of a network here as well as, or
// instead of, where they belong.
func moveLinks(h *container.HostConfig, ep *container.Endpoint) error {
	for _, l := range h.Links {
		if !slices.Contains(ep.Links, l) {
			ep.Links = append(ep.Links, l)
		}
	}
	h.Links = nil
	return checkLinks(ep.Links)
}

// planEndpoint checks what is asked of a place on a network.
func planEndpoint(n *model.Network, asked *container.Endpoint) (*container.Endpoint, error) {
	ep := container.Endpoint{NetworkID: n.ID}
	if asked == nil {
		return &ep, nil
	}
	switch {
	case len(asked.Links) > 0 && !userNetwork(n):
		return nil, errs.New(errs.Unsupported, "links on the default bridge are made with the container: use --link of run or create, or a network of your own, where names resolve")
	case len(asked.Aliases) > 0 && !userNetwork(n):
		return nil, errs.New(errs.Invalid, "network-scoped aliases are only supported for user-defined networks")
	}
	if asked.MacAddress != "" {
		var err error
		if ep.WantedMAC, err = hardwareAddress(n, asked.MacAddress); err != nil {
			return nil, err
		}
	}
	if err := endpointOptions(n, asked.DriverOpts); err != nil {
		return nil, err
	}
	ep.DriverOpts = maps.Clone(asked.DriverOpts)
	if c := asked.IPAMConfig; c != nil && (c.IPv4Address != "" || c.IPv6Address != "" || len(c.LinkLocalIPs) > 0) {
		if err := checkAddress(n, c); err != nil {
			return nil, err
		}
		cfg := *c
		ep.IPAMConfig = &cfg
	}
	ep.Aliases, ep.Links, ep.GwPriority = asked.Aliases, slices.Clone(asked.Links), asked.GwPriority
	for _, a := range ep.Aliases {
		if !plainName(a) {
			return nil, errs.New(errs.Invalid, "invalid network alias %q", a)
		}
	}
	return &ep, checkLinks(ep.Links)
}

// plainName says that a word can be a name on a network.
func plainName(s string) bool { return s != "" && !strings.ContainsAny(s, " \t\n\x00/:") }

// enter puts the unit under its name, or a made-up one. Nobody finds it there
// before it is made, but what it is made of counts as used.
func (e *Engine) enter(u *unit, name string) error {
	if name != "" {
		if err := e.claimName(u, name); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if name == "" {
		name = names.Random(func(n string) bool { return e.names[n] != nil })
		e.names[name] = u
	}
	u.rec.Name = name
	e.units[u.id] = u
	return nil
}

// furnish makes the container's folder and volumes with the files it begins
// with, and then its record: an end before that leaves no container.
func (e *Engine) furnish(ctx context.Context, u *unit, img *image.Image, req *container.CreateRequest) error {
	if err := e.paths(u.id).makeFolder(); err != nil {
		return err
	}
	if err := e.prepareVolumes(ctx, u, img); err != nil {
		return err
	}
	if req.Files != nil {
		if err := e.writeInitial(ctx, u, req.Files); err != nil {
			return err
		}
	}
	if u.autoRemove() || req.Starts {
		e.records.touchSoon(u) // start waits for the record; one that is never started is no loss
		return nil
	}
	e.records.touch(u)
	return e.records.flush(ctx)
}

// withdraw takes back a container that could not be made.
func (e *Engine) withdraw(u *unit) {
	u.takeNamespace().close()
	e.mu.Lock()
	delete(e.units, u.id)
	delete(e.names, u.rec.Name)
	e.mu.Unlock()
	u.mu.Lock()
	u.removed = true
	close(u.gone)
	u.mu.Unlock()
	e.hideAnonymous(u)
	e.records.touch(u)
	e.deferred.do(func() { e.clear(u, true) })
}

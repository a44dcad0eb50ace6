package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// planDown removes what carries the project's labels: dependents stop before
// what they depend on.
func planDown(req *compose.DownRequest, now *observed) *plan {
	p := &plan{}
	known, meant := map[string]bool{}, map[string]bool{}
	if req.Project != nil {
		known = knownServices(req.Project)
		for _, s := range req.Project.Services {
			meant[s.Name] = true
		}
	}
	var orphans, hidden, once []string
	gone := map[string][]*container.Container{}
	for service, cs := range now.containers {
		if !req.RemoveOrphans { // somebody may be at work in one
			cs = slices.DeleteFunc(slices.Clone(cs), func(c *container.Container) bool {
				runs := c.Config.Labels[compose.LabelOneoff] == "True"
				if runs {
					once = append(once, c.Name)
				}
				return runs
			})
		}
		if len(req.Services) > 0 {
			if slices.Contains(req.Services, service) {
				gone[service] = cs
			}
			continue
		}
		if req.Project != nil && !meant[service] && !req.RemoveOrphans {
			for _, c := range cs {
				if known[service] {
					hidden = append(hidden, c.Name)
				} else {
					orphans = append(orphans, c.Name)
				}
			}
			continue
		}
		gone[service] = cs
	}
	if len(orphans) > 0 {
		slices.Sort(orphans)
		p.warnings = append(p.warnings, fmt.Sprintf("found orphan containers (%s) of services that are no longer in the file; remove them with --remove-orphans", strings.Join(orphans, ", ")))
	}
	if len(hidden) > 0 {
		slices.Sort(hidden)
		p.warnings = append(p.warnings, fmt.Sprintf("containers of services in profiles that are not switched on are kept (%s): name them with --profile, or all with --profile '*'", strings.Join(hidden, ", ")))
	}
	if len(once) > 0 && len(req.Services) == 0 {
		slices.Sort(once)
		p.warnings = append(p.warnings, fmt.Sprintf("containers of `lus compose run` are kept (%s): remove them with --remove-orphans", strings.Join(once, ", ")))
	}
	removed := p.stopAll(gone, req.Timeout)
	for _, st := range removed {
		st.volumes = req.Volumes
	}
	p.dropImages(req, gone, removed)
	if len(req.Services) > 0 {
		return p
	}
	p.dropNetworks(req, now, removed)
	p.dropVolumes(req, now, removed)
	return p
}

// stopAll plans each service's stops after those of its dependents.
func (p *plan) stopAll(services map[string][]*container.Container, timeout *int) []*step {
	dependents := map[string][]string{}
	for name, cs := range services {
		for _, c := range cs {
			for _, d := range dependsOn(c) {
				dependents[d] = append(dependents[d], name)
			}
		}
	}
	var removed []*step
	stops := map[string][]*step{}
	seen := map[string]bool{}
	var visit func(name string) []*step
	visit = func(name string) []*step {
		if seen[name] { // also ends a cycle of hand-made labels
			return stops[name]
		}
		seen[name] = true
		var after []*step
		for _, d := range dependents[name] {
			if d != name {
				after = append(after, visit(d)...)
			}
		}
		for _, c := range services[name] {
			last := after
			if c.State.Status != container.Created && c.State.Status != container.Exited && c.State.Status != container.Dead {
				last = []*step{p.add(&step{action: compose.StopContainer, kind: "Container", name: c.Name, old: c, after: after, timeout: timeout, part: true})}
			}
			stops[name] = append(stops[name], last...)
			removed = append(removed, p.add(&step{action: compose.RemoveContainer, kind: "Container", name: c.Name, old: c, after: last}))
		}
		return stops[name]
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		visit(name)
	}
	return removed
}

// dropImages removes the images that the services use, or of those only the ones
// that were built without a name of their own.
func (p *plan) dropImages(req *compose.DownRequest, gone map[string][]*container.Container, after []*step) {
	if req.Images == "" {
		return
	}
	images := map[string]bool{}
	add := func(service, image string) {
		if req.Images == "all" || image == req.Name+"-"+service {
			images[image] = true
		}
	}
	if req.Project != nil {
		for _, s := range req.Project.Services {
			if len(req.Services) == 0 || slices.Contains(req.Services, s.Name) {
				add(s.Name, s.Image)
				for _, h := range s.PreStart {
					add(s.Name, h.Image)
				}
			}
		}
	}
	for service, cs := range gone {
		for _, c := range cs {
			add(service, c.Config.Image)
		}
	}
	for _, image := range slices.Sorted(maps.Keys(images)) {
		p.add(&step{action: compose.RemoveImage, kind: "Image", name: image, after: after})
	}
}

func (p *plan) dropNetworks(req *compose.DownRequest, now *observed, after []*step) {
	for _, name := range slices.Sorted(maps.Keys(now.networks)) {
		n := now.networks[name]
		if n.Labels[compose.LabelProject] == req.Name && n.Labels[compose.LabelNetwork] != "" {
			p.add(&step{action: compose.RemoveNetwork, kind: "Network", name: n.Name, after: after})
		}
	}
}

func (p *plan) dropVolumes(req *compose.DownRequest, now *observed, after []*step) {
	external := map[string]bool{}
	if req.Project != nil {
		for _, v := range req.Project.Volumes {
			external[v.Volume.Name] = v.External
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now.volumes)) {
		v := now.volumes[name]
		if external[name] || v.Labels[compose.LabelProject] != req.Name || v.Labels[compose.LabelVolume] == "" {
			continue
		}
		if !req.Volumes {
			p.kept = append(p.kept, v.Name)
			continue
		}
		p.add(&step{action: compose.RemoveVolume, kind: "Volume", name: v.Name, after: after})
	}
}

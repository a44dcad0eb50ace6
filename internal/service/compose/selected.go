package compose

import (
	"slices"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// check refuses a project that nobody has resolved: what is left out of it would be
// missed in the middle.
func check(p *compose.Project) error {
	if p == nil || p.Name == "" {
		return errs.New(errs.Invalid, "the request has no project: send the resolved project, with its name")
	}
	seen := map[string]bool{}
	for _, s := range p.Services {
		creates := []container.CreateRequest{s.Create}
		for _, h := range s.PreStart {
			creates = append(creates, h.Create)
		}
		if s.Name == "" || slices.ContainsFunc(creates, unresolved) {
			return errs.New(errs.Invalid, "service %q is not resolved: send its create request", s.Name)
		}
		if seen[s.Name] {
			return errs.New(errs.Invalid, "service %s stands in the project twice", s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}

func unresolved(c container.CreateRequest) bool {
	if c.HostConfig == nil || c.Labels == nil {
		return true
	}
	if c.NetworkingConfig == nil {
		return false
	}
	for _, e := range c.NetworkingConfig.EndpointsConfig {
		if e == nil {
			return true
		}
	}
	return false
}

// selected returns the services named, with what they depend on; all where none
// is named. A cycle is an error here too: the request may come from anyone.
func selected(p *compose.Project, names []string) ([]compose.Service, error) {
	byName := map[string]compose.Service{}
	for _, s := range p.Services {
		byName[s.Name] = s
	}
	if len(names) == 0 {
		for _, s := range p.Services {
			names = append(names, s.Name)
		}
	}
	const visiting, visited = 1, 2
	var out []compose.Service
	state := map[string]int{}
	var visit func(name, by string) error
	visit = func(name, by string) error {
		s, ok := byName[name]
		switch {
		case !ok && by == "":
			return errs.New(errs.NotFound, "no such service: %s", name)
		case !ok:
			return errs.New(errs.Invalid, "service %q depends on undefined service %q", by, name)
		case state[name] == visiting:
			return errs.New(errs.Invalid, "dependency cycle detected: %s -> %s", by, name)
		case state[name] == visited:
			return nil
		}
		state[name] = visiting
		for _, d := range s.DependsOn {
			if _, ok := byName[d.Service]; !ok && !d.Required {
				continue
			}
			if err := visit(d.Service, name); err != nil {
				return err
			}
		}
		state[name] = visited
		out = append(out, s)
		return nil
	}
	for _, n := range names {
		if err := visit(n, ""); err != nil {
			return nil, err
		}
	}
	return out, nil
}

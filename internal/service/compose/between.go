package compose

import (
	"maps"
	"slices"

	"lus/internal/model/compose"
)

// between prints what differs from one deployment to another, like a plan.
func between(a, b *compose.Deployment) []string {
	out := []string{}
	if a.Source != nil && b.Source != nil && a.Source.Commit != b.Source.Commit {
		out = append(out, "commit: "+shortCommit(a.Source)+" -> "+shortCommit(b.Source))
	}
	was, is := named(a.Config.Networks, networkName), named(b.Config.Networks, networkName)
	out = append(out, parts("network", was, is)...)
	was, is = named(a.Config.Volumes, volumeName), named(b.Config.Volumes, volumeName)
	out = append(out, parts("volume", was, is)...)
	return append(out, services(a, b)...)
}

func networkName(n compose.Network) (string, string) { return n.Network.Name, text(n) }
func volumeName(v compose.Volume) (string, string)   { return v.Volume.Name, text(v) }

// named are things by name, as text.
func named[T any](list []T, name func(T) (string, string)) map[string]string {
	out := map[string]string{}
	for _, v := range list {
		k, t := name(v)
		out[k] = t
	}
	return out
}

func parts(kind string, was, is map[string]string) []string {
	var out []string
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		_, had := was[name]
		_, has := is[name]
		switch {
		case !had:
			out = append(out, signAdd+" "+kind+" "+name)
		case !has:
			out = append(out, signRemove+" "+kind+" "+name)
		case was[name] != is[name]:
			out = append(out, signReplace+" "+kind+" "+name)
		}
	}
	return out
}

func services(a, b *compose.Deployment) []string {
	was, is := byName(a.Config), byName(b.Config)
	all := maps.Clone(was)
	maps.Copy(all, is)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		old, now := was[name], is[name]
		switch {
		case old == nil:
			out = append(out, signAdd+" service "+name)
			continue
		case now == nil:
			out = append(out, signRemove+" service "+name)
			continue
		}
		var lines []string
		for _, d := range differences(old, now) {
			lines = append(lines, "    "+d.String())
		}
		before, after := a.Images[old.Image], b.Images[now.Image]
		if before.ID != after.ID {
			lines = append(lines, "    image "+now.Image+": "+shortID(before.ID)+" -> "+shortID(after.ID))
		}
		if len(lines) > 0 {
			out = append(append(out, signReplace+" service "+name), lines...)
		}
	}
	return out
}

func byName(p *compose.Project) map[string]*compose.Service {
	out := map[string]*compose.Service{}
	for i := range p.Services {
		out[p.Services[i].Name] = &p.Services[i]
	}
	return out
}

func shortCommit(s *compose.Source) string {
	if s == nil {
		return "not known"
	}
	c := s.Commit
	if len(c) > 12 {
		c = c[:12]
	}
	if c == "" {
		c = "none"
	}
	if len(s.Dirty) > 0 {
		c += " (with changes)"
	}
	return c
}

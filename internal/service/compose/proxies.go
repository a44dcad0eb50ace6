package compose

import (
	"maps"
	"slices"
	"strings"

	"lus/internal/model/build"
	"lus/internal/model/compose"
)

// withProxies adds the user's proxies that a container does not set itself. They are
// no part of the service, so another choice replaces no container.
func withProxies(env []string, proxies map[string]string) []string {
	if len(proxies) == 0 {
		return env
	}
	given := map[string]bool{}
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		given[name] = true
	}
	out := slices.Clone(env)
	for _, name := range slices.Sorted(maps.Keys(proxies)) {
		if !given[name] {
			out = append(out, name+"="+proxies[name])
		}
	}
	return out
}

// forUser is a service's build with what belongs to who asks for it: credentials,
// and the proxies that it does not set itself. A step gets one value by both ways of
// writing a proxy's name.
func forUser(b *build.Request, p *compose.Project) *build.Request {
	out := *b
	out.Auth = p.Auth
	if len(p.Proxies) == 0 {
		return &out
	}
	out.Args = maps.Clone(b.Args)
	if out.Args == nil {
		out.Args = map[string]*string{}
	}
	given := map[string]bool{}
	for name := range b.Args {
		given[strings.ToLower(name)] = true
	}
	for name, value := range p.Proxies {
		if !given[strings.ToLower(name)] {
			out.Args[name] = &value
		}
	}
	return &out
}

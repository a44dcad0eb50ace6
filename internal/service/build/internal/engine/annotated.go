package engine

import (
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
)

// annotated are an output's attributes with the annotations for a platform
// decided: a job builds for one platform (empty: this machine's), and BuildKit's
// exporters would leave out all that are for one then.
func annotated(attrs map[string]string, platform string) map[string]string {
	out := map[string]string{}
	match := platforms.Default()
	if p, err := platforms.Parse(platform); platform != "" && err == nil {
		match = platforms.Only(p)
	}
	for key, value := range attrs {
		a, ok, err := exptypes.ParseAnnotationKey(key)
		if !ok || err != nil || a.Platform == nil {
			out[key] = value
			continue
		}
		if match.Match(*a.Platform) {
			a.Platform = nil
			out[a.String()] = value
		}
	}
	return out
}

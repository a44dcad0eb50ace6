package export

import (
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
)

// Here is the part of a result for several platforms that is for this machine;
// what is for one platform it leaves as it is. It is false where there is none.
func Here(src *exporter.Source) (*exporter.Source, bool) {
	here := src.Clone()
	if len(src.Refs) < 2 {
		return here, true
	}
	ps, err := exptypes.ParsePlatforms(src.Metadata)
	if err != nil {
		return nil, false
	}
	match := platforms.Default()
	for _, p := range ps.Platforms {
		ref, ok := src.FindRef(p.ID)
		if !ok || !match.Match(p.Platform) {
			continue
		}
		here.Refs, here.Ref = nil, ref
		for key, value := range src.Metadata {
			if name, ok := strings.CutSuffix(key, "/"+p.ID); ok {
				here.Metadata[name] = value
			}
		}
		delete(here.Metadata, exptypes.ExporterPlatformsKey)
		return here, true
	}
	return nil, false
}

package report

import (
	"fmt"
	"maps"
	"slices"

	"github.com/moby/buildkit/client"
)

// Unused warns of build arguments that no ARG of the Dockerfile asks for.
func (p *Plan) Unused() *client.SolveStatus {
	st := &client.SolveStatus{}
	for _, name := range p.unused {
		text := fmt.Sprintf("UnusedBuildArg: no ARG of the Dockerfile asks for the build argument %s", name)
		if near, ok := nearest(name, slices.Sorted(maps.Keys(p.known))); ok {
			text += fmt.Sprintf(" (did you mean %s?)", near)
		}
		st.Warnings = append(st.Warnings, &client.VertexWarning{Level: 1, Short: []byte(text)})
	}
	return st
}

package composefile

import (
	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/filesum"
	"lus/internal/model/compose"
)

// contents are the configs and secrets of a service that are files of the host,
// with sums of what they contain: other contents make another container. What
// cannot be read has no sum; that it is missing is told when it is mounted.
func contents(p *types.Project, s types.ServiceConfig) []compose.Content {
	var out []compose.Content
	for _, f := range shownFiles(p, s) {
		if !f.isShown() {
			continue
		}
		if sum := filesum.Of(f.object.File, compose.MaxFile); sum != "" {
			out = append(out, compose.Content{Key: f.kind + "s." + f.name, Path: f.object.File, Sum: sum})
		}
	}
	return out
}

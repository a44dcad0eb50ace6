// Package builder holds the commands about the build cache.
package builder

import (
	"lus/internal/cli/command"
	"lus/internal/cli/image"
	"lus/internal/cli/prune"
)

// Commands are the verbs of `lus builder`.
func Commands() []command.Command {
	return []command.Command{image.BuildCommand(), prune.Command(prune.BuildCache())}
}

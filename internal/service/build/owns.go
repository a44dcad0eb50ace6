package build

import (
	"strings"

	"lus/internal/service/build/internal/executor"
)

// Owns reports whether a container of the runtime is a build step: those who
// look after containers leave it alone.
func Owns(containerID string) bool { return strings.HasPrefix(containerID, executor.Prefix) }

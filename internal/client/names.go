package client

import (
	"slices"
	"strings"

	"lus/internal/base/errs"
)

// checkNames refuses a path with a name in it that would make it another path: an
// empty one, as of a script's variable that is not set, or dots.
func checkNames(path string) error {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	i := slices.IndexFunc(parts, func(p string) bool { return p == "" || p == "." || p == ".." })
	if i < 0 {
		return nil
	}
	what, value := strings.TrimSuffix(parts[0], "s"), parts[i]
	if value == "" {
		value = "value is empty"
	}
	if what == "image" { // whose names have several parts
		return errs.New(errs.Invalid, "invalid reference format: a part of the name is empty or dots alone")
	}
	return errs.New(errs.Invalid, "invalid %s name or ID: %s", what, value)
}

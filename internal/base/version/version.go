// Package version says which build of Lus this is.
package version

// number is set by the linker: make build passes what git describe says.
var number = "dev"

// String is the version of this program: a tag, a tag and a commit, or "dev"
// where it was built without make.
func String() string { return number }

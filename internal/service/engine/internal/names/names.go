// Package names knows what a container, network or volume may be called, and
// makes up names for those who did not say.
package names

import (
	"math/rand/v2"
	"strconv"

	"lus/internal/base/errs"
)

// Allowed is how error messages describe a valid name.
const Allowed = "[a-zA-Z0-9][a-zA-Z0-9_.-]"

// Valid reports whether name may be given to something: at least two
// characters, letters, digits and _.- of which the first is a letter or digit.
func Valid(name string) bool {
	if len(name) < 2 || len(name) > 255 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return true
}

// Check returns an error that says what is allowed where name is not.
func Check(what, name string) error {
	if Valid(name) {
		return nil
	}
	return errs.New(errs.Invalid, "Invalid %s name (%s), only %s are allowed", what, name, Allowed)
}

// Random makes a name of an adjective and a noun that taken does not know.
func Random(taken func(string) bool) string {
	for try := 0; ; try++ {
		name := adjectives[rand.IntN(len(adjectives))] + "_" + nouns[rand.IntN(len(nouns))]
		if try >= 8 { // crowded: a number helps
			name += strconv.Itoa(rand.IntN(1 << (try / 4)))
		}
		if !taken(name) {
			return name
		}
	}
}

// Package ids makes the identifiers of containers, networks and execs: 32
// random bytes as 64 hexadecimal digits, as Docker's clients expect them.
package ids

import (
	"crypto/rand"
	"encoding/hex"
)

// New returns 64 random hexadecimal digits of which the first twelve are never
// all decimal, so that a short id is not mistaken for a number (and is a usable
// host name).
func New() string {
	for {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
		id := hex.EncodeToString(b[:])
		if !decimal(Short(id)) {
			return id
		}
	}
}

// Short returns the first twelve digits of id, which people type.
func Short(id string) string {
	if len(id) < 12 {
		return id
	}
	return id[:12]
}

func decimal(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

package client

import (
	"maps"
	"slices"
	"strings"

	"lus/internal/base/errs"
)

// checkHeader writes the lines of a request's head that the user adds to each.
// What says how a request is carried is this package's alone and is left out.
func checkHeader(header map[string]string) (lines string, err error) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		switch strings.ToLower(name) {
		case "host", "user-agent", "connection", "upgrade", "content-type", "content-length", "transfer-encoding", "te", "trailer", "expect":
			continue
		}
		value := strings.TrimSpace(header[name])
		if name == "" || strings.ContainsFunc(name, notInName) || strings.ContainsFunc(value, notInValue) {
			return "", errs.New(errs.Invalid, "HttpHeaders of Docker's config.json has %q, which is no header with a value of one line", name)
		}
		lines += name + ": " + value + "\r\n"
	}
	return lines, nil
}

// notInName reports whether a character cannot be in a header's name.
func notInName(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
}

// notInValue reports whether a character cannot be in a header's value.
func notInValue(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

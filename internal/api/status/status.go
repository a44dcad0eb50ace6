// Package status turns the kinds of errors into HTTP statuses and back, in one
// place.
package status

import (
	"net/http"

	"lus/internal/base/errs"
)

// Of returns the HTTP status of a kind of error.
func Of(k errs.Kind) int {
	switch k {
	case errs.NotFound:
		return http.StatusNotFound
	case errs.Conflict:
		return http.StatusConflict
	case errs.Invalid, errs.CommandNotFound, errs.CommandNotExecutable:
		// Docker's clients read the two of commands from the text of a 400.
		return http.StatusBadRequest
	case errs.Denied:
		return http.StatusForbidden
	case errs.Unauthenticated:
		return http.StatusUnauthorized
	case errs.Unavailable:
		return http.StatusServiceUnavailable
	case errs.TooMany:
		return http.StatusTooManyRequests
	case errs.NotModified:
		return http.StatusNotModified
	case errs.Unsupported:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}

package report

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"

	"lus/internal/base/errs"
)

// baseImage explains an image that is neither here nor to be had.
func baseImage(err error, text string) (errs.Kind, string, string) {
	name := strings.TrimSuffix(between(text, "metadata for ", " "), ":")
	short := imageOf(text)
	if short == "" {
		short = "the base image"
	}
	if noSpace(text) { // the image may be here; the hint is that of every full disk
		return errs.Unavailable, fmt.Sprintf("image %s cannot be looked up: %s", short, after(text, name+": ")), ""
	}
	kind, why := registryFault(text)
	if why == "" && (errdefs.IsNotFound(err) || strings.Contains(text, "not found") || strings.Contains(text, "pull access denied")) {
		kind, why = errs.NotFound, "its registry does not have it, or asks for a login"
	}
	if why == "" {
		kind, why = errs.Unavailable, "its registry cannot be reached: "+after(text, name+": ")
	}
	return kind, fmt.Sprintf("image %s is not here and cannot be pulled: %s", short, why),
		fmt.Sprintf("`lus pull %[1]s` shows more; without a registry, `lus image import FILE.tar %[1]s` makes it from a root file system", short)
}

// registryFault words what a registry that was reached did wrong; empty: nothing
// that is known. The error came through BuildKit's protocol, which leaves its text.
func registryFault(text string) (errs.Kind, string) {
	if typ := between(text, "could not fetch content descriptor ", " from remote"); typ != "" {
		return errs.Unsupported, "it is not an image: its registry says it is a " + strconv.Quote(strings.Trim(after(typ, " "), "()"))
	}
	switch code, status := answered(text); {
	case code == 401 || code == 403:
		return errs.NotFound, "its registry does not have it, or asks for a login"
	case code == 429:
		return errs.Unavailable, "its registry allows no more pulls now: log in, or try again later"
	case code >= 500:
		return errs.Unavailable, "its registry failed: " + status + ": try again later"
	case strings.Contains(text, "unexpected commit digest"), strings.Contains(text, "unexpected commit size"):
		return errs.Unavailable, "its registry sent something else than it names: try again, or tell its owner"
	case strings.HasSuffix(text, ": EOF"), strings.Contains(text, "unexpected EOF"):
		return errs.Unavailable, "its registry broke off: try again"
	}
	return errs.Internal, ""
}

// answered is the status that a registry answered with; zero: none is told of.
func answered(text string) (code int, status string) {
	_, rest, ok := strings.Cut(text, "unexpected status from ")
	if !ok {
		return 0, ""
	}
	_, rest, _ = strings.Cut(rest, " request to ")
	_, rest, _ = strings.Cut(rest, ": ")
	status, _, _ = strings.Cut(rest, "\n")
	number, _, _ := strings.Cut(status, " ")
	code, err := strconv.Atoi(number)
	if err != nil {
		return 0, ""
	}
	return code, status
}

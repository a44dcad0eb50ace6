package image

import (
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"lus/internal/base/errs"
)

// parse reads a reference as people write it: "busybox" means
// docker.io/library/busybox:latest. The result has a tag or a digest.
func parse(ref string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, errs.New(errs.Invalid, "invalid reference format: %q is not the name of an image (%w)", ref, err)
	}
	if d, ok := named.(reference.Canonical); ok {
		// With a digest the tag decides nothing.
		return reference.WithDigest(reference.TrimNamed(named), d.Digest())
	}
	return reference.TagNameOnly(named), nil
}

// parseTarget reads the name that an image is to be given.
func parseTarget(ref string) (reference.NamedTagged, error) {
	named, err := parse(ref)
	if err != nil {
		return nil, err
	}
	tagged, ok := named.(reference.NamedTagged)
	if !ok {
		return nil, errs.New(errs.Invalid, "refusing to create a tag with a digest reference: %q; a tag names an image by a word, as in name:tag", ref)
	}
	return tagged, nil
}

// familiar is a full reference as people write it.
func familiar(full string) string {
	named, err := reference.ParseNormalizedNamed(full)
	if err != nil {
		return full
	}
	return reference.FamiliarString(named)
}

// hexadecimal reports whether s consists of hexadecimal digits, as an id does.
func hexadecimal(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}

// short is the first twelve digits of a digest.
func short(d string) string {
	_, enc, ok := strings.Cut(d, ":")
	if !ok {
		enc = d
	}
	if len(enc) > 12 {
		enc = enc[:12]
	}
	return enc
}

// fullID returns ref as an image id where it is a whole one.
func fullID(ref string) (string, bool) {
	if len(ref) == 64 && hexadecimal(ref) {
		return "sha256:" + ref, true
	}
	if d, err := digest.Parse(ref); err == nil {
		return d.String(), true
	}
	return "", false
}

package account

import (
	"encoding/json"
	"slices"
	"strings"

	"lus/internal/base/errs"
)

// Registry is the kind of resources that are repositories of images.
const Registry = "registry"

// kinds are those of resources that there are.
func kinds() []string { return []string{Registry} }

// The bounds of names.
const (
	maxUser     = 64
	maxResource = 255
)

// Resource is one thing that somebody may or may not touch: the repository
// me/app of the registry.
type Resource struct {
	Kind, Name string
}

// Repository is a repository of the registry.
func Repository(name string) Resource { return Resource{Registry, name} }

// String is the resource as people write it: registry:me/app.
func (r Resource) String() string { return r.Kind + ":" + r.Name }

// Owner is the user whom the resource belongs to by its name: me of me/app.
// What has no slash belongs to nobody.
func (r Resource) Owner() string {
	owner, rest, ok := strings.Cut(r.Name, "/")
	if !ok || rest == "" {
		return ""
	}
	return owner
}

// Pattern stands for resources: registry:me/app is that one alone,
// registry:me/* is all below me/ at any depth (and not me itself), registry:*
// is every repository, and * is everything there is.
type Pattern string

// Matches reports whether the resource is one of the pattern's.
func (p Pattern) Matches(r Resource) bool {
	if p == "*" {
		return true
	}
	kind, name, ok := strings.Cut(string(p), ":")
	if !ok || kind != r.Kind || r.Name == "" {
		return false
	}
	if name == "*" {
		return true
	}
	if below, ok := strings.CutSuffix(name, "/*"); ok {
		rest, ok := strings.CutPrefix(r.Name, below+"/")
		return ok && rest != ""
	}
	return name == r.Name
}

// ParsePattern reads a pattern.
func ParsePattern(s string) (Pattern, error) {
	if s == "*" {
		return "*", nil
	}
	kind, name, ok := strings.Cut(s, ":")
	if !ok || !slices.Contains(kinds(), kind) {
		return "", errs.New(errs.Invalid, "%q names no kind of thing: write registry:NAME, registry:NAME/*, registry:* or *", clip(s))
	}
	if name == "*" {
		return Pattern(s), nil
	}
	if !validPath(strings.TrimSuffix(name, "/*")) {
		return "", errs.New(errs.Invalid, "%q is no name with an optional /* at its end: names are lower-case letters, digits, and . _ - between them, in parts that slashes divide", clip(s))
	}
	return Pattern(s), nil
}

// ParseScope reads RESOURCE:ACTIONS, or ACTIONS alone for everything.
func ParseScope(s string) (Scope, error) {
	resource, actions := "*", s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		resource, actions = s[:i], s[i+1:]
	}
	p, err := ParsePattern(resource)
	if err != nil {
		return Scope{}, err
	}
	a, err := ParseActions(actions)
	return Scope{Resource: p, Actions: a}, err
}

// UnmarshalJSON reads a pattern and refuses what is none.
func (p *Pattern) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	got, err := ParsePattern(s)
	*p = got
	return err
}

// ParseUser checks a user's name. It is also the first part of the names of what
// is that user's, so it is bound to what repositories may be called.
func ParseUser(s string) (string, error) {
	if len(s) > maxUser || strings.Contains(s, "/") || !validPath(s) {
		return "", errs.New(errs.Invalid, "%q is no user name: write up to %d lower-case letters and digits, with single . _ - between them", clip(s), maxUser)
	}
	if slices.Contains([]string{Users, Anonymous, Loopback, "everyone", "all", "library"}, s) {
		return "", errs.New(errs.Invalid, "no user can be called %q: the word means something else", s)
	}
	return s, nil
}

// Many reports whether who is one of the words for more than one user.
func Many(who string) bool { return who == Users || who == Anonymous || who == Loopback }

// ParseWho checks whom a rule is about.
func ParseWho(s string) (string, error) {
	if Many(s) {
		return s, nil
	}
	return ParseUser(s)
}

func validPath(s string) bool {
	if s == "" || len(s) > maxResource {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if !validPart(part) {
			return false
		}
	}
	return true
}

// validPart is a part of a repository's name as the distribution specification
// has it: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*.
func validPart(s string) bool {
	alnum := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	if s == "" || !alnum(s[0]) || !alnum(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if alnum(s[i]) {
			continue
		}
		j := i
		for !alnum(s[j]) { // ends: the last character is one
			j++
		}
		switch sep := s[i:j]; {
		case sep == "." || sep == "_" || sep == "__" || strings.Trim(sep, "-") == "":
		default:
			return false
		}
		i = j
	}
	return true
}

// Package registry holds the words of the registry: who asks, for what, and how
// it is refused.
package registry

import (
	"strings"
	"time"

	"lus/internal/base/errs"
)

// Action is what somebody wants to do in a repository, in the words that token
// servers use.
type Action string

// The three actions that access rules know.
const (
	Read   Action = "pull"
	Write  Action = "push"
	Delete Action = "delete"
)

// Who is the caller as far as it was recognised.
type Who struct {
	// Name is the account; empty is somebody who did not say who they are.
	Name string
	// Root is whoever speaks to the daemon's own socket, who may do everything.
	Root bool
	// Proof is what the authenticator knows besides. Only the access rules that
	// belong to it look at it.
	Proof any
}

// Code is an error code of the distribution specification. It is an error, so
// that errors.As finds it in what a refusal wraps.
type Code string

// The codes of the specification.
const (
	BlobUnknown         Code = "BLOB_UNKNOWN"
	BlobUploadInvalid   Code = "BLOB_UPLOAD_INVALID"
	BlobUploadUnknown   Code = "BLOB_UPLOAD_UNKNOWN"
	DigestInvalid       Code = "DIGEST_INVALID"
	ManifestBlobUnknown Code = "MANIFEST_BLOB_UNKNOWN"
	ManifestInvalid     Code = "MANIFEST_INVALID"
	ManifestUnknown     Code = "MANIFEST_UNKNOWN"
	NameInvalid         Code = "NAME_INVALID"
	NameUnknown         Code = "NAME_UNKNOWN"
	SizeInvalid         Code = "SIZE_INVALID"
	Unauthorized        Code = "UNAUTHORIZED"
	Denied              Code = "DENIED"
	Unsupported         Code = "UNSUPPORTED"
	TooManyRequests     Code = "TOOMANYREQUESTS"
	Unavailable         Code = "UNAVAILABLE"
	// RangeInvalid is BLOB_UPLOAD_INVALID for a chunk that does not follow the
	// one before: status 416.
	RangeInvalid Code = "RANGE_INVALID"
)

// Error returns the code.
func (c Code) Error() string { return string(c) }

// Fail is a refusal with a code of the specification.
func Fail(k errs.Kind, c Code, format string, args ...any) error {
	e := errs.New(k, format, args...)
	return &errs.Error{Kind: k, Msg: e.Error(), Err: c}
}

// MaxName is how long a repository's name may be, MaxTag a tag.
const (
	MaxName = 255
	MaxTag  = 128
)

// CheckName says what is wrong with a repository's name, if anything is.
func CheckName(name string) error {
	bad := func() error {
		return Fail(errs.Invalid, NameInvalid, "invalid repository name %q: use lowercase letters, digits and single . _ - between them, with / between the parts", shortened(name))
	}
	if name == "" || len(name) > MaxName {
		return bad()
	}
	for part := range strings.SplitSeq(name, "/") {
		if !validPart(part) {
			return bad()
		}
	}
	return nil
}

func shortened(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// validPart: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
func validPart(p string) bool {
	if p == "" || !alnum(p[0]) || !alnum(p[len(p)-1]) {
		return false
	}
	for i := 0; i < len(p); {
		if alnum(p[i]) {
			i++
			continue
		}
		from := i
		for i < len(p) && !alnum(p[i]) {
			i++
		}
		sep := p[from:i]
		if sep != "." && sep != "_" && sep != "__" && strings.Trim(sep, "-") != "" {
			return false
		}
	}
	return true
}

func alnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// ValidTag reports whether a tag is one: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
func ValidTag(tag string) bool {
	if tag == "" || len(tag) > MaxTag || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for i := range len(tag) {
		c := tag[i]
		if !alnum(c) && (c < 'A' || c > 'Z') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// Manifest is a manifest or an index of a repository.
type Manifest struct {
	Digest    string
	MediaType string
	Size      int64
	Raw       []byte // only where it was asked for
}

// Descriptor is one manifest in a list of referrers.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// Page asks for at most N entries after Last; N below 0 is as many as there are
// or as fit in one answer.
type Page struct {
	N    int
	Last string
}

// Repository is a repository as `lus registry ls` shows it.
type Repository struct {
	Name    string    `json:"name"`
	Tags    int       `json:"tags"`
	Size    int64     `json:"size"` // bytes of what it links, each digest once
	Updated time.Time `json:"updated"`
	Cached  bool      `json:"cached,omitempty"` // it is filled from another registry
}

// Tag is one tag of a repository.
type Tag struct {
	Name      string    `json:"name"`
	Digest    string    `json:"digest"`
	MediaType string    `json:"mediaType"`
	Size      int64     `json:"size"` // bytes of all that it needs
	Updated   time.Time `json:"updated"`
}

// Quota bounds the bytes of a repository and all below its name, or, with the
// scope "*", of each account that has no quota of its own.
type Quota struct {
	Scope string `json:"scope"`
	Limit int64  `json:"limit"` // bytes
	Used  int64  `json:"used"`
}

// Collected is what a collection of garbage did.
type Collected struct {
	Manifests int   `json:"manifests"`
	Blobs     int   `json:"blobs"` // digests that no repository links any more
	Bytes     int64 `json:"bytes"`
	Uploads   int   `json:"uploads"` // that nobody went on with
}

// Upstream is a registry that repositories below Prefix are fetched from. An
// empty prefix stands for every repository that nobody pushed here.
type Upstream struct {
	Prefix   string `json:"prefix"`
	URL      string `json:"url"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"` // never told again
}

// Settings say where the registry listens.
type Settings struct {
	Enabled bool   `json:"enabled"`
	Address string `json:"address"` // host:port
	TLS     TLS    `json:"tls,omitzero"`
}

// TLS is how the listener proves who it is. The zero value is the usual way: a
// certificate of Lus's own authority, and none on loopback.
type TLS struct {
	// Certificate and Key are the administrator's own files.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	// Always is a certificate of our own authority on loopback too.
	Always bool `json:"always,omitempty"`
	// Never is plain HTTP wherever it listens, secrets included.
	Never bool `json:"never,omitempty"`
	// Names are those that this host is called by, besides its own.
	Names []string `json:"names,omitempty"`
}

// Status is the registry as a whole.
type Status struct {
	Settings
	// Listening is the address in use; empty while it does not listen.
	Listening    string `json:"listening,omitempty"`
	Secure       bool   `json:"secure,omitempty"` // it speaks TLS there
	Error        string `json:"error,omitempty"`  // why it does not, though enabled
	Repositories int    `json:"repositories"`
	Tags         int    `json:"tags"`
	Blobs        int    `json:"blobs"`
	Size         int64  `json:"size"`
	Uploads      int    `json:"uploads"` // under way
}

// Found is one answer to a search.
type Found struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Tags        int    `json:"tags"`
}

// Authority is what a client has to trust to trust the listener.
type Authority struct {
	Certificate string `json:"certificate"` // PEM
}

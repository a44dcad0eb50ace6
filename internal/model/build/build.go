// Package build holds the words for building an image that every part of Lus
// shares.
package build

import (
	"fmt"
	"io"
	"time"

	"lus/internal/model/image"
)

// Request asks for an image. Exactly one of ContextDir, Context and Remote is set.
type Request struct {
	ContextDir string    `json:"contextDir,omitempty"` // absolute; a folder of this host, read in place
	Context    io.Reader `json:"-"`                    // a tar, as POST /build sends it
	Remote     string    `json:"remote,omitempty"`     // a URL of a Git repository or a tar
	// Dockerfile is the Dockerfile's path: absolute for one outside the
	// context, else relative to it, or an http(s) URL. Empty means "Dockerfile".
	Dockerfile string `json:"dockerfile,omitempty"`
	// DockerfileText is its text where it came by standard input (-f -).
	DockerfileText []byte             `json:"dockerfileText,omitempty"`
	Tags           []string           `json:"tags,omitempty"`
	Args           map[string]*string `json:"args,omitempty"` // nil value: taken as unset
	Labels         map[string]string  `json:"labels,omitempty"`
	Target         string             `json:"target,omitempty"`
	NoCache        bool               `json:"noCache,omitempty"`
	Pull           bool               `json:"pull,omitempty"` // look for newer base images
	Platform       string             `json:"platform,omitempty"`
	ExtraHosts     []string           `json:"extraHosts,omitempty"`  // "name:address"
	ShmSize        int64              `json:"shmSize,omitempty"`     // bytes
	NetworkMode    string             `json:"networkMode,omitempty"` // default, none or host
	Quiet          bool               `json:"quiet,omitempty"`
	Ulimits        []string           `json:"ulimits,omitempty"` // "nofile=1024:2048"
	// Auth holds credentials by registry host.
	Auth map[string]image.Auth `json:"auth,omitempty"`
	// Secrets are what RUN --mount=type=secret may see, by id. They are for
	// this build's steps alone and stand in no log.
	Secrets map[string][]byte `json:"secrets,omitempty"`
	// SSH holds, by id, the sockets or keys that RUN --mount=type=ssh may use:
	// absolute paths on this host.
	SSH map[string][]string `json:"ssh,omitempty"`
	// Contexts are further contexts by name: an absolute path or a URL.
	Contexts map[string]string `json:"contexts,omitempty"`
	// Here are those of Contexts that are images of this host, and of no registry:
	// Pull does not look for newer ones.
	Here []string `json:"here,omitempty"`
	// Outputs say where the result goes; none: into the image store.
	Outputs []Output `json:"outputs,omitempty"`
	// CacheFrom and CacheTo are caches beside the store's own.
	CacheFrom []Output `json:"cacheFrom,omitempty"`
	CacheTo   []Output `json:"cacheTo,omitempty"`
	// Session is the client's, where it brings BuildKit's protocol along: the
	// build asks there for files and secrets. Then Remote is "client-session"
	// or a URL.
	Session string `json:"-"`
	// Tar says that the context comes as a tar behind the request itself.
	Tar bool `json:"tar,omitempty"`
	// Call asks about the Dockerfile and builds nothing: check, outline or
	// targets. CallJSON wants the answer as JSON.
	Call     string `json:"call,omitempty"`
	CallJSON bool   `json:"callJSON,omitempty"`
	// NoCacheFilter are the stages whose steps all run again.
	NoCacheFilter []string `json:"noCacheFilter,omitempty"`
	// Allow are the privileges that steps may ask for: network.host,
	// security.insecure. The daemon must allow them, too.
	Allow        []string `json:"allow,omitempty"`
	CgroupParent string   `json:"cgroupParent,omitempty"`
	// Attests are attestations to make: type (sbom, provenance) -> parameters.
	Attests map[string]string `json:"attests,omitempty"`
	// StatusJSON asks for progress as Status in JSON, one a line, not as text.
	StatusJSON bool `json:"statusJSON,omitempty"`
	// Stdout gets an output whose dest is "-".
	Stdout io.Writer `json:"-"`
	// Result gets what is known of the result beside the image's id: digests and
	// names, and the answer to Call.
	Result func(Result) `json:"-"`
	// Classic asks for progress in the words of Docker's builder before BuildKit,
	// which programs read. Quiet does not silence it.
	Classic bool `json:"-"`
	// Trace gets the progress of such a build as BuildKit's own messages.
	Trace func([]byte) `json:"-"`
}

// Output is a place for a build's result or cache: a type of BuildKit's (local,
// tar, oci, docker, image, registry; for caches inline, local, registry) with
// its attributes. Paths are absolute.
type Output struct {
	Type  string            `json:"type"`
	Attrs map[string]string `json:"attrs,omitempty"`
}

// Result is what a build gave.
type Result struct {
	// Metadata are BuildKit's words for it: containerimage.digest, image.name.
	Metadata map[string]string `json:"metadata,omitempty"`
	// Answer is what Call asked for, as text or JSON; Code is the exit code that
	// goes with it.
	Answer string `json:"answer,omitempty"`
	Code   int    `json:"code,omitempty"`
}

// InSession is the Remote of a build whose files come from the client's session.
const InSession = "client-session"

// Record is one piece of the build cache, in the shape of the Docker Engine API
// 1.51.
type Record struct {
	ID          string     `json:"ID"`
	Parents     []string   `json:"Parents,omitempty"`
	Type        string     `json:"Type"`
	Description string     `json:"Description"`
	InUse       bool       `json:"InUse"`
	Shared      bool       `json:"Shared"` // an image has these files too
	Size        int64      `json:"Size"`   // bytes
	CreatedAt   time.Time  `json:"CreatedAt"`
	LastUsedAt  *time.Time `json:"LastUsedAt"`
	UsageCount  int        `json:"UsageCount"`
}

// Prune says which of the build cache is to go: what no running build uses and
// no image has, or, with All, also what images and frontends share.
type Prune struct {
	All bool
	// UnusedFor leaves what was used more recently.
	UnusedFor time.Duration
	// Reserved, MaxUsed and MinFree are bytes: what may stay in any case, how
	// much may stay at most, and how much of the disk is to be free. Zero: no
	// bound.
	Reserved, MaxUsed, MinFree int64
	// Match are fields and the values they must have: id (its beginning),
	// parent, type, description; for inuse, shared and private an empty value
	// means that they are true.
	Match map[string]string
}

// Pruned is what was dropped of the build cache.
type Pruned struct {
	IDs   []string
	Freed int64 // bytes that the disk got back
}

// ExitError is the error of a build step whose command ended badly, in the
// words that programs know from Docker.
type ExitError struct {
	Command string
	Code    int
	Err     error // the same for people, with place and output
}

// Error implements error.
func (e *ExitError) Error() string {
	return fmt.Sprintf("The command '%s' returned a non-zero code: %d", e.Command, e.Code)
}

// Unwrap returns the cause.
func (e *ExitError) Unwrap() error { return e.Err }

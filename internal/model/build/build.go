// Package build holds the words for building an image that every part of Lus
// shares.
package build

import (
	"io"

	"lus/internal/model/image"
)

// Request asks for an image. Exactly one of ContextDir, Context and Remote is set.
type Request struct {
	ContextDir string    `json:"contextDir,omitempty"` // absolute; a folder of this host, read in place
	Context    io.Reader `json:"-"`                    // a tar, as POST /build sends it
	Remote     string    `json:"remote,omitempty"`     // a URL of a Git repository or a tar
	// Dockerfile is the Dockerfile's path: absolute for one outside the
	// context, else relative to it. Empty means "Dockerfile".
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
	// Auth holds credentials by registry host.
	Auth map[string]image.Auth `json:"auth,omitempty"`
}

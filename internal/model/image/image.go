// Package image holds the words for images that every part of Lus shares. The
// JSON names are those of the Docker Engine API 1.51 and, in Config, of the
// OCI image specification.
package image

import (
	"context"
	"os"
	"time"

	"lus/internal/model/container"
)

// Image is one image in the store.
type Image struct {
	ID           string   // digest of the config, "sha256:..."
	Target       string   // digest of the manifest (or index) it stands under
	RepoTags     []string // familiar form, "busybox:latest"
	RepoDigests  []string // "busybox@sha256:..."
	Created      time.Time
	Author       string
	Architecture string
	OS           string
	Variant      string
	Size         int64    // bytes of its layers, unpacked
	SharedSize   int64    // of these, what other images have too; only where asked for
	Parts        []Part   // what Size is made of, topmost first
	Layers       []string // diff ids, lowest first
	Config       container.Config
	History      []History
	Comment      string
	LastTagTime  time.Time
	Dirs         []string // its layers' folders, topmost first; only inspect tells them
}

// History is one step that made the image.
type History struct {
	Created    time.Time `json:"created"`
	CreatedBy  string    `json:"created_by,omitempty"`
	Author     string    `json:"author,omitempty"`
	Comment    string    `json:"comment,omitempty"`
	EmptyLayer bool      `json:"empty_layer,omitempty"`
	Size       int64     `json:"-"` // bytes of its layer, unpacked; not part of the image's config
}

// Part is one folder of an image. Images that have a layer in common share it.
type Part struct {
	Name string
	Size int64 // bytes
}

// Usage is what all images take together.
type Usage struct {
	Images []*Image
	Total  int64 // bytes: each shared part once, and what is kept packed
	// Repositories are those of the registry on the same store, Registry the bytes
	// among Total that they keep and no image does.
	Repositories int
	Registry     int64
}

// Layers is an image's file system, ready to be mounted.
type Layers struct {
	ImageID string
	ChainID string
	// Dirs are the layers' folders on the host, topmost first.
	Dirs []string
}

// Removed is one line of the answer to removing an image.
type Removed struct {
	Untagged string `json:"Untagged,omitempty"`
	Deleted  string `json:"Deleted,omitempty"`
}

// Progress is one message of a long pull, push, load or build, in Docker's
// stream format.
type Progress struct {
	Status   string          `json:"status,omitempty"`
	ID       string          `json:"id,omitempty"` // short digest of the layer
	Detail   *ProgressDetail `json:"progressDetail,omitempty"`
	Progress string          `json:"progress,omitempty"` // the bar drawn, for old clients
	Stream   string          `json:"stream,omitempty"`
	Error    string          `json:"error,omitempty"`
	ErrorIn  *ErrorDetail    `json:"errorDetail,omitempty"`
	Aux      any             `json:"aux,omitempty"`
}

// ProgressDetail counts bytes.
type ProgressDetail struct {
	Current int64 `json:"current,omitempty"`
	Total   int64 `json:"total,omitempty"`
}

// ErrorDetail is the error of a stream that had begun well.
type ErrorDetail struct {
	Code    int    `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// Auth is one registry's credentials, as X-Registry-Auth carries them.
type Auth struct {
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	Auth          string `json:"auth,omitempty"`
	ServerAddress string `json:"serveraddress,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
}

// Commit is an image to be made of a container's changes.
type Commit struct {
	Base      string // the id of the image that the container was made from
	Ref       string // the new image's name; empty: none
	Author    string
	Message   string
	CreatedBy string
	Asked     container.Config // what the caller says of the image
	Changes   []string         // Dockerfile instructions on top of that
	// Complete adds what the container itself says.
	Complete func(asked *container.Config) (*container.Config, error)
	// Fill writes the changes into a folder, in the words of overlayfs.
	Fill func(ctx context.Context, dir *os.File) error
}

// Distribution is what a name stands for at its registry.
type Distribution struct {
	Descriptor Descriptor
	Platforms  []Platform
}

// Descriptor names a document by its content. It and Platform have words of their
// own here: those of the OCI's module compile patterns whenever a program starts.
type Descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"` // bytes
}

// Platform is what an image runs on.
type Platform struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	OSVersion    string   `json:"os.version,omitempty"`
	OSFeatures   []string `json:"os.features,omitempty"`
	Variant      string   `json:"variant,omitempty"`
}

// Found is one answer to a search, in Docker's shape.
type Found struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	StarCount   int    `json:"star_count"`
	IsOfficial  bool   `json:"is_official"`
	IsAutomated bool   `json:"is_automated"`
}

package container

import (
	"context"
	"io"
	"io/fs"
	"time"
)

// PathStat is one path in a container, as X-Docker-Container-Path-Stat tells it.
type PathStat struct {
	Name       string      `json:"name"`
	Size       int64       `json:"size"`
	Mode       fs.FileMode `json:"mode"`
	Mtime      time.Time   `json:"mtime"`
	LinkTarget string      `json:"linkTarget"`
}

// Archive is a tar that is made while it is written.
type Archive struct {
	Stat  PathStat // of the path asked for; empty for an export
	Write func(ctx context.Context, w io.Writer) error
	Close func()
}

// ExtractOptions are the options of copying a tar into a container.
type ExtractOptions struct {
	// NoOverwriteDirNonDir refuses to put a file where a folder is, and the
	// other way round.
	NoOverwriteDirNonDir bool
	// CopyUIDGID: what is copied belongs to the container's user, where it has one.
	CopyUIDGID bool
}

// Change is one path that a container changed of its image.
type Change struct {
	Path string
	Kind ChangeKind
}

// ChangeKind is what happened to a path.
type ChangeKind uint8

// The kinds of changes, numbered as in Docker's API.
const (
	Modified ChangeKind = iota
	Added
	Deleted
)

// String is the letter that diff prints.
func (k ChangeKind) String() string { return [...]string{"C", "A", "D"}[k%3] }

// CommitOptions are the options of making an image of a container.
type CommitOptions struct {
	Ref     string // the image's name; empty: none
	Author  string
	Message string
	Changes []string // Dockerfile instructions
	Config  *Config  // overrides the container's own, where given
	Pause   bool     // the container stands still while it is read
}

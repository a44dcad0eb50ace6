// Package docker answers the Docker Engine API 1.51 over the engine, the
// images and the builder that the daemon passes in. It accepts paths from
// /v1.24 on and speaks to unmodified clients.
package docker

import (
	"context"
	"io"
	"net"
	"time"

	"lus/internal/model/build"
	"lus/internal/model/container"
	"lus/internal/model/event"
	"lus/internal/model/filter"
	"lus/internal/model/image"
	"lus/internal/model/network"
	"lus/internal/model/volume"
)

// Containers is what the API asks of the engine about containers. A name is a
// container's name, its id, or a prefix of its id that only one container has.
type Containers interface {
	CreateContainer(ctx context.Context, name string, req *container.CreateRequest) (*container.CreateResponse, error)
	StartContainer(ctx context.Context, name string) error
	// StopContainer sends the stop signal (signal, or the container's own where
	// empty) and kills after timeout seconds (nil: the container's own, or 10;
	// negative: never).
	StopContainer(ctx context.Context, name, signal string, timeout *int) error
	RestartContainer(ctx context.Context, name, signal string, timeout *int) error
	KillContainer(ctx context.Context, name, signal string) error
	PauseContainer(ctx context.Context, name string) error
	UnpauseContainer(ctx context.Context, name string) error
	// UpdateContainer changes limits and restart policy, at once where it runs.
	UpdateContainer(ctx context.Context, name string, req *container.UpdateRequest) (warnings []string, err error)
	RenameContainer(ctx context.Context, name, to string) error
	// PruneContainers removes those that do not run.
	PruneContainers(ctx context.Context, f filter.Filters) (removed []string, freed int64, err error)
	RemoveContainer(ctx context.Context, name string, o container.RemoveOptions) error
	// WaitContainer returns once it waits: the channel then gives one Exit.
	// Condition is "not-running" (or empty), "next-exit" or "removed".
	WaitContainer(ctx context.Context, name, condition string) (<-chan container.Exit, error)
	InspectContainer(ctx context.Context, name string, size bool) (*container.Container, error)
	ListContainers(ctx context.Context, o container.ListOptions) ([]*container.Container, error)
	// Logs writes records to w until they end, or with Follow until the
	// container ends or ctx does. Tty says whether the output is one raw stream.
	Logs(ctx context.Context, name string, o container.LogOptions) (r container.LogReader, tty bool, err error)
	// Attach joins the container's streams. It may be called before the start.
	Attach(ctx context.Context, name string, o container.AttachOptions) (*container.Stream, error)
	ResizeContainer(ctx context.Context, name string, rows, cols uint16) error
	TopContainer(ctx context.Context, name string, psArgs []string) (*container.TopResult, error)
	// ContainerStats reads once what the container used; only its name and id
	// where it does not run.
	ContainerStats(ctx context.Context, name string) (*container.Stats, error)

	// StatPath, ReadPath and WritePath look at, read and write a container's
	// files, whether it runs or not. A tar is read from and into folders.
	StatPath(ctx context.Context, name, path string) (*container.PathStat, error)
	ReadPath(ctx context.Context, name, path string) (*container.Archive, error)
	WritePath(ctx context.Context, name, path string, tar io.Reader, o container.ExtractOptions) error
	ContainerChanges(ctx context.Context, name string) ([]container.Change, error)
	ExportContainer(ctx context.Context, name string) (*container.Archive, error)
	CommitContainer(ctx context.Context, name string, o container.CommitOptions) (imageID string, err error)

	CreateExec(ctx context.Context, name string, cfg *container.ExecConfig) (id string, err error)
	// StartExec runs the exec; with detach the Stream is nil.
	StartExec(ctx context.Context, id string, detach bool, tty bool, size *[2]uint) (*container.Stream, error)
	ResizeExec(ctx context.Context, id string, rows, cols uint16) error
	InspectExec(ctx context.Context, id string) (*container.Exec, error)
	// WaitExec is InspectExec once the process has ended.
	WaitExec(ctx context.Context, id string) (*container.Exec, error)
}

// Networks is what the API asks of the engine about networks.
type Networks interface {
	CreateNetwork(ctx context.Context, n *network.Network) (id string, warning string, err error)
	InspectNetwork(ctx context.Context, name string) (*network.Network, error)
	ListNetworks(ctx context.Context, f filter.Filters) ([]*network.Network, error)
	RemoveNetwork(ctx context.Context, name string) error
	PruneNetworks(ctx context.Context, f filter.Filters) (removed []string, err error)
	ConnectNetwork(ctx context.Context, name, containerName string, e *container.Endpoint) error
	DisconnectNetwork(ctx context.Context, name, containerName string, force bool) error
}

// Volumes is what the API asks of the engine about volumes.
type Volumes interface {
	CreateVolume(ctx context.Context, req *volume.CreateRequest) (*volume.Volume, error)
	InspectVolume(ctx context.Context, name string) (*volume.Volume, error)
	ListVolumes(ctx context.Context, f filter.Filters) ([]*volume.Volume, error)
	// VolumesUsage lists all with their UsageData.
	VolumesUsage(ctx context.Context) ([]*volume.Volume, error)
	RemoveVolume(ctx context.Context, name string, force bool) error
	PruneVolumes(ctx context.Context, f filter.Filters) (removed []string, freed int64, err error)
}

// Images is what the API asks of the image service. A ref is a name (short
// ones mean docker.io/library), a name with digest, an id or a prefix of one.
type Images interface {
	PullImage(ctx context.Context, ref, platform string, auth *image.Auth, progress func(image.Progress)) error
	// PullTags brings all tags of a repository.
	PullTags(ctx context.Context, repository, platform string, auth *image.Auth, progress func(image.Progress)) error
	// ImportImage makes one of a tar, for this host's platform where none is given.
	ImportImage(ctx context.Context, tar io.Reader, ref, platform, message string, changes []string) (id string, err error)
	InspectImage(ctx context.Context, ref string) (*image.Image, error)
	ListImages(ctx context.Context, all bool, f filter.Filters) ([]*image.Image, error)
	TagImage(ctx context.Context, ref, target string) error
	RemoveImage(ctx context.Context, ref string, force, prune bool) ([]image.Removed, error)
	// PushImage sends one tag, or all of a repository where ref has none. Layers
	// that were never packed are packed by compression: gzip, zstd or what
	// is usual ("").
	PushImage(ctx context.Context, ref, compression string, auth *image.Auth, progress func(image.Progress)) error
	SaveImages(ctx context.Context, refs []string, w io.Writer) error
	LoadImages(ctx context.Context, tar io.Reader, progress func(image.Progress)) error
	// Distribution tells what a name stands for at its registry.
	Distribution(ctx context.Context, ref string, auth *image.Auth) (*image.Distribution, error)
	// Login tries credentials at their registry.
	Login(ctx context.Context, auth *image.Auth) (identityToken string, err error)
	// Usage tells what the images take, each and together.
	Usage(ctx context.Context) (*image.Usage, error)
	// PruneImages removes those that no container uses and nobody named; with
	// the filter dangling=false the named ones too.
	PruneImages(ctx context.Context, f filter.Filters) ([]image.Removed, int64, error)
}

// Builder is what the API asks of the image builder.
type Builder interface {
	// Build builds an image and writes its progress as text.
	Build(ctx context.Context, req *build.Request, progress io.Writer) (imageID string, err error)
	// ServeControl and ServeSession answer a client that brings BuildKit's
	// protocol along (docker build with buildx), until it or ctx ends. Meta is
	// the head of its request.
	ServeControl(ctx context.Context, conn net.Conn) error
	ServeSession(ctx context.Context, conn net.Conn, meta map[string][]string) error
	// Cache lists what the build cache holds, and Prune drops of it.
	Cache(ctx context.Context) ([]build.Record, error)
	Prune(ctx context.Context, p build.Prune) (*build.Pruned, error)
}

// System is what the API asks about the whole.
type System interface {
	// Info is the body of GET /info, less what the API itself knows.
	Info(ctx context.Context) (map[string]any, error)
	// Events gives what happened since (zero: from now) until ctx ends.
	Events(ctx context.Context, since, until time.Time, f filter.Filters) (<-chan event.Event, error)
}

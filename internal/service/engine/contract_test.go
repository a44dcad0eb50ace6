package engine_test

import (
	"context"
	"time"

	"lus/internal/linux/network"
	"lus/internal/model/container"
	"lus/internal/model/event"
	"lus/internal/model/filter"
	model "lus/internal/model/network"
	"lus/internal/model/volume"
	"lus/internal/service/engine"
)

// What the API asks of an engine, as it declares it. (The API may not be
// imported from here, so its words are repeated.)
var _ interface {
	CreateContainer(ctx context.Context, name string, req *container.CreateRequest) (*container.CreateResponse, error)
	StartContainer(ctx context.Context, name string) error
	StopContainer(ctx context.Context, name, signal string, timeout *int) error
	RestartContainer(ctx context.Context, name, signal string, timeout *int) error
	KillContainer(ctx context.Context, name, signal string) error
	PauseContainer(ctx context.Context, name string) error
	UnpauseContainer(ctx context.Context, name string) error
	RenameContainer(ctx context.Context, name, to string) error
	RemoveContainer(ctx context.Context, name string, o container.RemoveOptions) error
	WaitContainer(ctx context.Context, name, condition string) (<-chan container.Exit, error)
	InspectContainer(ctx context.Context, name string, size bool) (*container.Container, error)
	ListContainers(ctx context.Context, o container.ListOptions) ([]*container.Container, error)
	Logs(ctx context.Context, name string, o container.LogOptions) (r container.LogReader, tty bool, err error)
	Attach(ctx context.Context, name string, o container.AttachOptions) (*container.Stream, error)
	ResizeContainer(ctx context.Context, name string, rows, cols uint16) error
	TopContainer(ctx context.Context, name string, psArgs []string) (*container.TopResult, error)
	CreateExec(ctx context.Context, name string, cfg *container.ExecConfig) (id string, err error)
	StartExec(ctx context.Context, id string, detach bool, tty bool, size *[2]uint) (*container.Stream, error)
	ResizeExec(ctx context.Context, id string, rows, cols uint16) error
	InspectExec(ctx context.Context, id string) (*container.Exec, error)
	CreateNetwork(ctx context.Context, n *model.Network) (id string, warning string, err error)
	InspectNetwork(ctx context.Context, name string) (*model.Network, error)
	ListNetworks(ctx context.Context, f filter.Filters) ([]*model.Network, error)
	RemoveNetwork(ctx context.Context, name string) error
	PruneNetworks(ctx context.Context, f filter.Filters) (removed []string, err error)
	ConnectNetwork(ctx context.Context, name, containerName string, e *container.Endpoint) error
	DisconnectNetwork(ctx context.Context, name, containerName string, force bool) error
	CreateVolume(ctx context.Context, req *volume.CreateRequest) (*volume.Volume, error)
	InspectVolume(ctx context.Context, name string) (*volume.Volume, error)
	ListVolumes(ctx context.Context, f filter.Filters) ([]*volume.Volume, error)
	RemoveVolume(ctx context.Context, name string, force bool) error
	PruneVolumes(ctx context.Context, f filter.Filters) (removed []string, freed int64, err error)
	Info(ctx context.Context) (map[string]any, error)
	Events(ctx context.Context, since, until time.Time, f filter.Filters) (<-chan event.Event, error)
} = (*engine.Engine)(nil)

// The kernel's side fits what the engine asks of it.
var _ engine.Network = (*network.Manager)(nil)

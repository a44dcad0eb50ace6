// Package compose carries out resolved Compose projects: it observes what is,
// compares it with what is asked, makes a plan, and carries the plan out as a
// graph of steps, each as soon as what it waits for has happened.
package compose

import (
	"context"
	"io"
	"log/slog"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/event"
	"lus/internal/model/filter"
	"lus/internal/model/image"
	"lus/internal/model/network"
	"lus/internal/model/volume"
	"lus/internal/service/compose/internal/history"
	"lus/internal/store/sqlite"
)

// Engine is what a project needs of the engine.
type Engine interface {
	CreateContainer(ctx context.Context, name string, req *container.CreateRequest) (*container.CreateResponse, error)
	StartContainer(ctx context.Context, name string) error
	StopContainer(ctx context.Context, name, signal string, timeout *int) error
	// DrainContainer leads new connections to others of its service and returns
	// when those to it have ended, or after patience.
	DrainContainer(ctx context.Context, name string, patience time.Duration) error
	RenameContainer(ctx context.Context, name, to string) error
	RemoveContainer(ctx context.Context, name string, o container.RemoveOptions) error
	InspectContainer(ctx context.Context, name string, size bool) (*container.Container, error)
	ListContainers(ctx context.Context, o container.ListOptions) ([]*container.Container, error)
	CreateNetwork(ctx context.Context, n *network.Network) (id string, warning string, err error)
	InspectNetwork(ctx context.Context, name string) (*network.Network, error)
	ListNetworks(ctx context.Context, f filter.Filters) ([]*network.Network, error)
	RemoveNetwork(ctx context.Context, name string) error
	ConnectNetwork(ctx context.Context, name, containerName string, asked *container.Endpoint) error
	DisconnectNetwork(ctx context.Context, name, containerName string, force bool) error
	CreateVolume(ctx context.Context, req *volume.CreateRequest) (*volume.Volume, error)
	InspectVolume(ctx context.Context, name string) (*volume.Volume, error)
	ListVolumes(ctx context.Context, f filter.Filters) ([]*volume.Volume, error)
	RemoveVolume(ctx context.Context, name string, force bool) error
	Events(ctx context.Context, since, until time.Time, f filter.Filters) (<-chan event.Event, error)
	Logs(ctx context.Context, name string, o container.LogOptions) (logs container.LogReader, tty bool, err error)
	CreateExec(ctx context.Context, name string, cfg *container.ExecConfig) (string, error)
	StartExec(ctx context.Context, id string, detach, tty bool, size *[2]uint) (*container.Stream, error)
	InspectExec(ctx context.Context, id string) (*container.Exec, error)
}

// Images is what a project needs of the images.
type Images interface {
	InspectImage(ctx context.Context, ref string) (*image.Image, error)
	PullImage(ctx context.Context, ref, platform string, auth *image.Auth, progress func(image.Progress)) error
	RemoveImage(ctx context.Context, ref string, force, keepParents bool) ([]image.Removed, error)
	TagImage(ctx context.Context, ref, target string) error
}

// Builder builds an image and writes its progress as text.
type Builder interface {
	Build(ctx context.Context, req *build.Request, progress io.Writer) (imageID string, err error)
}

// Deps is what the service is made of.
type Deps struct {
	Engine  Engine
	Images  Images
	Builder Builder
	DB      *sqlite.DB // with Migrations
	Log     *slog.Logger
}

// Service carries out projects.
type Service struct {
	Deps
	projects locks
	history  *history.History
}

// New returns a service over deps.
func New(d Deps) (*Service, error) {
	if d.Engine == nil || d.Images == nil || d.Builder == nil || d.DB == nil || d.Log == nil {
		return nil, errs.New(errs.Internal, "compose: an engine, images, a builder, records and a log are needed")
	}
	s := &Service{Deps: d, history: &history.History{DB: d.DB}}
	return s, s.history.Recover(context.Background())
}

// Tell receives what happens while a request is carried out. It is called from
// several goroutines, one at a time.
type Tell = func(compose.Event)

// Up makes a project run as asked: only what differs is touched.
func (s *Service) Up(ctx context.Context, req *compose.UpRequest, tell Tell) error {
	if err := check(req.Project); err != nil {
		return err
	}
	tell = serial(tell)
	free, err := s.projects.take(ctx, req.Project.Name, holderOf("compose up", req.By), tell)
	if err != nil {
		return err
	}
	defer free()
	return s.up(ctx, req, nil, tell)
}

// up is Up with the project taken. Images that are pinned, by reference, have
// that id whatever the reference stands for.
func (s *Service) up(ctx context.Context, req *compose.UpRequest, pinned map[string]string, tell Tell) error {
	services, err := selected(req.Project, req.Services)
	if err != nil {
		return err
	}
	found, err := s.images(ctx, req, services, pinned, tell)
	if err != nil {
		return err
	}
	now, err := s.observe(ctx, req.Project.Name, false)
	if err != nil {
		return err
	}
	p, err := planUp(req, services, found.ids, now, s.history.Former(ctx, req.Project.Name))
	if err != nil {
		return err
	}
	for _, w := range p.warnings {
		tell(compose.Event{Warning: w})
	}
	if req.DryRun {
		p.print(tell)
		return nil
	}
	d, err := s.deployment(ctx, req, services, p, found)
	if err != nil {
		return err
	}
	if d != nil {
		tell(compose.Event{Deployment: d.ID})
	}
	err = s.run(ctx, req.Project, p, tell)
	s.ended(ctx, d, err)
	return err
}

// Down stops and removes a project's containers and networks, and with Volumes
// its named volumes, never those that are external.
func (s *Service) Down(ctx context.Context, req *compose.DownRequest, tell Tell) error {
	if req.Name == "" {
		return errs.New(errs.Invalid, "the project has no name: give one with -p")
	}
	if req.Project != nil {
		if err := check(req.Project); err != nil {
			return err
		}
	}
	tell = serial(tell)
	free, err := s.projects.take(ctx, req.Name, holderOf("compose down", req.By), tell)
	if err != nil {
		return err
	}
	defer free()
	now, err := s.observe(ctx, req.Name, true)
	if err != nil {
		return err
	}
	p := planDown(req, now)
	for _, w := range p.warnings {
		tell(compose.Event{Warning: w})
	}
	if req.DryRun {
		p.print(tell)
		return nil
	}
	project := req.Project
	if project == nil {
		project = &compose.Project{Name: req.Name, Parallel: req.Parallel}
	}
	if len(p.steps) == 0 {
		tell(compose.Event{Warning: "no resource found to remove for project " + req.Name})
	}
	if err := s.run(ctx, project, p, tell); err != nil {
		return err
	}
	for _, v := range p.kept {
		tell(compose.Event{Text: "Volume " + v + " is kept; remove it with `lus compose down -v`\n"})
	}
	return nil
}

// Package image is what Lus does with images: pull them from registries,
// import them from tars, name, list and remove them, and hand their layers to
// the engine. It works on the one store.
package image

import (
	"context"
	"log/slog"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lus/internal/base/errs"
	"lus/internal/base/keyed"
	"lus/internal/model/event"
	"lus/internal/model/image"
	"lus/internal/store/content"
)

// Users says which containers need an image. The engine is one.
type Users interface {
	// ContainersUsing returns the names of the containers made from the image,
	// those that run and those that do not.
	ContainersUsing(imageID string) (running, stopped []string)
}

// Limits bound what a registry or a tar may make us write.
type Limits struct {
	// Ratio is how many times its packed size a layer may unpack to, once it is
	// beyond Free bytes.
	Ratio int64
	Free  int64
	// Stall is how long a registry may send or take nothing.
	Stall time.Duration
	// Pause is the first pause before something is asked for again; each is
	// twice the one before.
	Pause time.Duration
}

// Deps is what the service needs. Store is required; Users may be nil while
// there are no containers.
type Deps struct {
	Store      *content.Store
	Registries Registries
	Users      Users
	Own        Own // nil: this daemon has no registry
	// Held are the ids of images that a prune leaves although no container is
	// made from them; nil: none.
	Held   func(context.Context) (map[string]bool, error)
	Events func(event.Event)
	Limits Limits
	Log    *slog.Logger
}

// Service is the images of this host.
type Service struct {
	store      *content.Store
	registries Registries
	users      Users
	own        Own
	held       func(context.Context) (map[string]bool, error)
	emit       func(event.Event)
	limits     Limits
	log        *slog.Logger
	host       ocispec.Platform

	names   index
	configs cache[*image.Image]
	packed  cache[ocispec.Descriptor] // type and diff id -> what a push made of it
	inUse   inUse
	busy    keyed.Lock[string] // digests and chain ids that somebody is fetching or unpacking
}

// New returns the service over the store in deps.
func New(d Deps) (*Service, error) {
	if d.Store == nil {
		return nil, errs.New(errs.Internal, "the image service needs a store")
	}
	if err := d.Registries.Check(); err != nil {
		return nil, err
	}
	s := &Service{
		store: d.Store, registries: d.Registries, users: d.Users, own: d.Own, held: d.Held, emit: d.Events,
		limits: d.Limits.orDefault(), log: d.Log,
		host: platforms.DefaultSpec(),
	}
	s.registries.shared = newConnections(s.limits, s.registries.Trust)
	if s.emit == nil {
		s.emit = func(event.Event) {}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.inUse.load(context.Background(), d.Store); err != nil {
		return nil, err
	}
	return s, nil
}

func (l Limits) orDefault() Limits {
	if l.Ratio == 0 {
		l.Ratio = 250 // the densest real layers reach about 100
	}
	if l.Free == 0 {
		l.Free = 1 << 30
	}
	if l.Stall == 0 {
		l.Stall = 30 * time.Second
	}
	if l.Pause == 0 {
		l.Pause = 500 * time.Millisecond
	}
	return l
}

// Hosts says how registries are reached, for others that bring credentials of
// their own.
func (s *Service) Hosts() docker.RegistryHosts { return s.registries.Hosts(nil) }

// tell sends an event about an image.
func (s *Service) tell(action, id, name string, labels map[string]string) {
	attributes := map[string]string{}
	for k, v := range labels {
		attributes[k] = v
	}
	if name != "" {
		attributes["name"] = name
	}
	s.emit(event.New("image", action, id, attributes, time.Now()))
}

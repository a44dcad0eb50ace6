package engine

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/base/layout"
	"lus/internal/linux/network"
	"lus/internal/linux/runtime"
	"lus/internal/model/container"
	"lus/internal/model/image"
	model "lus/internal/model/network"
	"lus/internal/store/sqlite"
)

// Images is what the engine needs of the images.
type Images interface {
	// Resolve finds an image by name or id; errs.NotFound where there is none.
	Resolve(ctx context.Context, ref string) (*image.Image, error)
	// InspectImage is Resolve with what takes longer to find: its size.
	InspectImage(ctx context.Context, ref string) (*image.Image, error)
	// Layers are an image's folders, held as long as the engine uses the image.
	Layers(ctx context.Context, imageID string) (*image.Layers, error)
	// CommitImage makes an image of a container's changes.
	CommitImage(ctx context.Context, c *image.Commit) (id string, err error)
	// Sweep lets go of the layers of all images but those used.
	Sweep(ctx context.Context, usedImageIDs []string) error
	// Returned says that a container of the image is off the record, where it
	// was before the engine asked for the layers.
	Returned(imageID string)
}

// Network is what the engine needs of the kernel's networks; the Manager of
// internal/linux/network is one.
type Network interface {
	Ensure(ctx context.Context, n *model.Network) error
	Remove(ctx context.Context, n *model.Network) error
	Reserve(ctx context.Context, networkID, containerID string, want network.Wanted) (network.Address, error)
	Release(ctx context.Context, networkID, containerID string) error
	// Namespace makes a network namespace that lasts as long as the file, or as who
	// is in it. Its loopback is up.
	Namespace() (*os.File, error)
	Attach(ctx context.Context, netns *os.File, eps ...network.Endpoint) error
	// Route leads the namespace's default routes to an endpoint that is attached,
	// those of the versions of IP that it says.
	Route(ctx context.Context, netns *os.File, ep network.Endpoint) error
	Detach(ctx context.Context, networkID, containerID string) error
	// Pull is Detach for a direct network, whose interface is in the namespace.
	Pull(ctx context.Context, netns *os.File, ep network.Endpoint) error
	Publish(ctx context.Context, containerID string, ways network.Ways, ports []container.PublishedPort) (container.PortMap, error)
	// SetReady says whether a container takes new connections on the ports that
	// it shares with others of its group.
	SetReady(ctx context.Context, containerID string, ready bool) error
	// Move leads published ports to the container's addresses on other networks.
	Move(ctx context.Context, containerID string, ways network.Ways) error
	// Unpublish frees the ports of these versions of IP; none: of both.
	Unpublish(ctx context.Context, containerID string, families ...network.Family) error
	Reconcile(ctx context.Context, nets []*model.Network, running []network.Running) error
	Settle(ctx context.Context) error
}

// Names is what the engine needs of the name server inside the containers.
type Names interface {
	// Serve answers at 127.0.0.11 in netns, with the names of networks first
	// and those of upstream ("address:port" or an address) otherwise.
	Serve(ctx context.Context, containerID string, netns *os.File, networks []string, upstream []string) error
	Drop(ctx context.Context, containerID string) error
	SetNames(ctx context.Context, networkID string, names map[string][]netip.Addr) error
	// List tells which containers are served.
	List(ctx context.Context) ([]string, error)
}

// AppArmor is what the engine needs of the host's AppArmor.
type AppArmor interface {
	// Supported reports whether the host confines by AppArmor.
	Supported() bool
	// Ensure makes sure that a profile is loaded.
	Ensure(profile string) error
}

// Devices are what the engine needs to know of devices that have names.
type Devices interface {
	// Inject changes a spec so that the container has the devices called names.
	Inject(s *specs.Spec, names []string) error
	// Names are all that there are now.
	Names() []string
	// Folders are where they are described.
	Folders() []string
}

// Deps is what an engine is made of. AppArmor, Devices, Log and Now may be left
// out.
type Deps struct {
	Runtime  runtime.Runtime
	Images   Images
	Network  Network
	Names    Names
	AppArmor AppArmor
	Devices  Devices
	Layout   layout.Layout
	DB       *sqlite.DB
	Log      *slog.Logger
	Now      func() time.Time
}

func (d *Deps) check() error {
	if d.Runtime == nil || d.Images == nil || d.Network == nil || d.Names == nil || d.DB == nil || d.Layout.Root == "" {
		return errs.New(errs.Internal, "engine: a runtime, images, networks, names, records and a layout are needed")
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return nil
}

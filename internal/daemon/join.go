package daemon

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	keeper "lus/internal/keeper/client"
	"lus/internal/linux/apparmor"
	"lus/internal/linux/network"
	"lus/internal/linux/runtime"
	model "lus/internal/model/build"
	"lus/internal/model/event"
	"lus/internal/model/task"
	"lus/internal/service/build"
	"lus/internal/service/compose"
	"lus/internal/service/engine"
	"lus/internal/service/image"
)

// The types here join two parts that do not know each other.

// holder lets the networks keep sockets in the keeper.
type holder struct{ *keeper.Client }

// Hold keeps files open under key beyond the daemon's life.
func (h holder) Hold(ctx context.Context, key string, files []*os.File) error {
	return h.Client.Hold(ctx, key, files...)
}

// withoutBuilds is the runtime as the engine sees it: build steps are the
// builder's.
type withoutBuilds struct{ runtime.Runtime }

// List tells of containers only.
func (w withoutBuilds) List(ctx context.Context) ([]task.Status, error) {
	all, err := w.Runtime.List(ctx)
	if err != nil {
		return nil, err
	}
	out := all[:0]
	for _, s := range all {
		if !build.Owns(s.Container) {
			out = append(out, s)
		}
	}
	return out, nil
}

// Watch tells of containers only.
func (w withoutBuilds) Watch(ctx context.Context, fn func(task.Status)) error {
	return w.Runtime.Watch(ctx, func(s task.Status) {
		if !build.Owns(s.Container) {
			fn(s)
		}
	})
}

// imageUsers tells the images which containers use one. It is filled in once
// there is an engine.
type imageUsers struct {
	engine   *engine.Engine
	projects *compose.Service
}

// held are the images that the last deployments of projects need to be gone
// back to.
func (u *imageUsers) held(ctx context.Context) (map[string]bool, error) {
	if u.projects == nil {
		return nil, nil
	}
	return u.projects.HeldImages(ctx)
}

// ContainersUsing tells the names of the containers made from an image.
func (u *imageUsers) ContainersUsing(imageID string) (running, stopped []string) {
	if u.engine == nil {
		return nil, nil
	}
	return u.engine.ContainersUsing(imageID)
}

// containerNames tells the networks how people call a container.
type containerNames struct{ engine *engine.Engine }

func (n *containerNames) name(id string) string {
	if n.engine != nil {
		if c, err := n.engine.InspectContainer(context.Background(), id, false); err == nil {
			return c.Name
		}
	}
	return id
}

// buildNetwork puts build steps on the default bridge.
type buildNetwork struct {
	nets   *network.Manager
	engine *engine.Engine
}

// Attach gives the step an address, and returns its resolv.conf and what takes
// the address away again.
func (b *buildNetwork) Attach(ctx context.Context, id string, netns *os.File) (resolvConf []byte, release func(), err error) {
	bridge, err := b.engine.InspectNetwork(ctx, "bridge")
	if err != nil {
		return nil, nil, err
	}
	addr, err := b.nets.Reserve(ctx, bridge.ID, id, network.Wanted{})
	if err != nil {
		return nil, nil, err
	}
	free := func() {
		// The step has ended; so may have the build's context.
		ctx := context.WithoutCancel(ctx)
		_ = b.nets.Detach(ctx, bridge.ID, id)
		_ = b.nets.Release(ctx, bridge.ID, id)
	}
	ep := network.Endpoint{NetworkID: bridge.ID, ContainerID: id, IfName: "eth0", Address: addr, Default: true}
	if err := b.nets.Attach(ctx, netns, ep); err != nil {
		free()
		return nil, nil, err
	}
	return resolvText(), free, nil
}

func resolvText() []byte {
	servers, search, options := network.HostResolvConf()
	var b strings.Builder
	for _, s := range servers {
		b.WriteString("nameserver " + s.String() + "\n")
	}
	if len(search) > 0 {
		b.WriteString("search " + strings.Join(search, " ") + "\n")
	}
	if len(options) > 0 {
		b.WriteString("options " + strings.Join(options, " ") + "\n")
	}
	return []byte(b.String())
}

// gateway is the default bridge's address on this host.
func (b *buildNetwork) gateway() string {
	bridge, err := b.engine.InspectNetwork(context.Background(), "bridge")
	if err != nil || len(bridge.IPAM.Config) == 0 {
		return ""
	}
	return bridge.IPAM.Config[0].Gateway
}

// tellingBuilder tells of pruned build cache as of all pruning.
type tellingBuilder struct {
	*build.Service
	tell func(event.Event)
}

// Prune drops build cache.
func (b tellingBuilder) Prune(ctx context.Context, p model.Prune) (*model.Pruned, error) {
	out, err := b.Service.Prune(ctx, p)
	if err == nil {
		b.tell(event.New("builder", "prune", "", map[string]string{"reclaimed": strconv.FormatInt(out.Freed, 10)}, time.Now()))
	}
	return out, err
}

// readied makes images that were built ready to run: what a first run would
// have to write to the store is written with the build, which syncs the disk
// anyway.
func readied(images *image.Service) func(context.Context, string) {
	return func(ctx context.Context, id string) {
		// Where that fails the first run tries again, and tells why.
		_ = images.Hold(ctx, id)
	}
}

// confined loads the profile that build steps run under, where the host has
// AppArmor.
func confined(host *apparmor.Host) func() (string, error) {
	return func() (string, error) {
		if !host.Supported() {
			return "", nil
		}
		return apparmor.Default, host.Ensure(apparmor.Default)
	}
}

// facts are the engine's about itself, and what the networks found on the host
// that stands in their way.
type facts struct {
	*engine.Engine
	nets     *network.Manager
	apparmor *apparmor.Host
}

// Info adds the warnings to the engine's facts, and where to filter traffic.
func (f facts) Info(ctx context.Context) (map[string]any, error) {
	info, err := f.Engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	warnings := []string{}
	for _, w := range f.nets.Warnings() {
		warnings = append(warnings, "WARNING: "+w) // clients print them as they come
	}
	info["Warnings"] = warnings
	security := []string{"name=seccomp,profile=builtin", "name=cgroupns"}
	if f.apparmor.Supported() {
		security = append([]string{"name=apparmor"}, security...)
	}
	info["SecurityOptions"] = security
	chains := [][2]string{{"User chain", f.nets.UserChain()}}
	if c := f.nets.UserChain6(); c != "" {
		chains = append(chains, [2]string{"User chain for IPv6", c})
	}
	info["FirewallBackend"] = map[string]any{"Driver": "nftables", "Info": chains}
	return info, nil
}

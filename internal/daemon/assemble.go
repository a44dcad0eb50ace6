package daemon

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	accountapi "lus/internal/api/account"
	composeapi "lus/internal/api/compose"
	"lus/internal/api/docker"
	lusapi "lus/internal/api/lus"
	registryapi "lus/internal/api/registry"
	"lus/internal/api/token"
	keeper "lus/internal/keeper/client"
	"lus/internal/linux/apparmor"
	"lus/internal/linux/cdi"
	"lus/internal/linux/network"
	"lus/internal/linux/ociruntime"
	"lus/internal/linux/runtime"
	"lus/internal/model/event"
	"lus/internal/service/account"
	"lus/internal/service/build"
	"lus/internal/service/certificate"
	"lus/internal/service/compose"
	"lus/internal/service/engine"
	"lus/internal/service/image"
	"lus/internal/service/registry"
	"lus/internal/store/content"
	"lus/internal/store/sqlite"
)

// assemble makes every part in the order in which one needs the other. What it
// has made when it fails is given back.
func assemble(ctx context.Context, o options) (*daemon, error) {
	a := &assembly{daemon: &daemon{log: o.log}, o: o}
	for _, part := range []func(context.Context) error{
		a.addStores, a.addKernel, a.addEngine, a.addBuilder, a.addRegistry, a.addAPI,
	} {
		if err := part(ctx); err != nil {
			return nil, errors.Join(err, a.close())
		}
	}
	return a.daemon, nil
}

// assembly is a daemon that is being made, with the parts that others need.
type assembly struct {
	*daemon
	o options

	db     *sqlite.DB
	store  *content.Store
	images *image.Service
	certs  *certificate.Service

	keeper   *keeper.Client
	runtimes *ociruntime.Runtimes
	nets     *network.Manager
	names    *names
	confiner *apparmor.Host
	devices  *cdi.Devices

	engine   *engine.Engine
	builder  *build.Service
	accounts *account.Service
	registry *registry.Service
	listener *registryListener

	// Filled in once there is what they stand for.
	users  imageUsers
	events imageEvents
	own    ownRegistry
	namer  containerNames
}

// addStores makes the records and the images.
func (a *assembly) addStores(ctx context.Context) (err error) {
	l := a.o.layout
	a.db, err = sqlite.Open(l.Records(), slices.Concat(engine.Migrations(), registry.Migrations(), account.Migrations(), compose.Migrations()))
	if err != nil {
		return err
	}
	a.closes("the records", a.db.Close)
	a.onTidied = a.db.OnTidied
	a.store, err = content.Open(ctx, l.Images(), content.Options{Log: a.log})
	if err != nil {
		return err
	}
	a.closes("the image store", a.store.Close)
	a.certs = certificate.New(certificate.Deps{Dir: l.Certificates(), Log: a.log})
	a.o.registries.Trust = image.Trust{Folders: []string{filepath.Join(filepath.Dir(l.Config()), "certs.d"), "/etc/lus/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d"}, Own: a.certs.Trusted}
	a.images, err = image.New(image.Deps{Store: a.store, Registries: a.o.registries, Users: &a.users, Held: a.users.held, Own: &a.own, Events: a.events.emit, Limits: image.Limits{Stall: a.o.stall}, Log: a.log})
	return err
}

// addKernel makes what containers are made of: processes, networks, names.
func (a *assembly) addKernel(ctx context.Context) (err error) {
	l := a.o.layout
	for _, name := range []string{"lus-keeper", "lus-dns"} { // before the first is started
		if _, err := program(name); err != nil {
			return err
		}
	}
	a.keeper, err = connectKeeper(ctx, l, a.log)
	if err != nil {
		return err
	}
	a.closes("the keeper's client", a.keeper.Close)
	a.runs("the keeper", func(ctx context.Context) error { return watchKeeper(ctx, a.keeper) })
	native, err := runtime.New(a.keeper)
	if err != nil {
		return err
	}
	a.closes("the runtime", func() error { return native.Close() })
	a.runtimes, err = ociruntime.New(ctx, native, a.keeper, l.OCI(), a.log)
	if err != nil {
		return err
	}
	a.nets, err = network.New(network.Config{Instance: l.Instance(), Log: a.log, Holder: holder{a.keeper}, Name: a.namer.name})
	if err != nil {
		return err
	}
	a.closes("the networks", a.nets.Close)
	a.names, err = newNames(ctx, l, a.log)
	if err != nil {
		return err
	}
	a.closes("the name server's client", a.names.Close)
	a.confiner = &apparmor.Host{}
	a.devices, err = cdi.New(a.o.devices)
	return err
}

// addEngine makes what runs containers.
func (a *assembly) addEngine(context.Context) (err error) {
	a.engine, err = engine.New(engine.Deps{
		Runtime: withoutBuilds{a.runtimes}, Images: a.images, Network: a.nets, Names: a.names, AppArmor: a.confiner, Devices: a.devices,
		Layout: a.o.layout, DB: a.db, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.closes("what nothing needs any more", func() error { return retire(a.o.layout, a.keeper, a.names, a.nets, a.log) })
	a.ready = a.engine.CaughtUp
	a.users.engine, a.events.engine, a.namer.engine = a.engine, a.engine, a.engine
	a.runs("the name server", func(ctx context.Context) error { return a.names.run(ctx, a.engine) })
	a.runs("the engine", a.engine.Run)
	// Records, leases and the kernel agree from here on: garbage may be told.
	a.store.Ready()
	a.runs("the sweeper of images", func(ctx context.Context) error { return sweep(ctx, a.images, a.engine, a.log) })
	return nil
}

// addBuilder makes what builds images. It has a connection to the keeper of its
// own: each is watched by one, and build steps end with theirs.
func (a *assembly) addBuilder(ctx context.Context) error {
	steps, err := keeper.Connect(ctx, a.o.layout.KeeperSocket())
	if err != nil {
		return err
	}
	a.closes("the builder's client of the keeper", steps.Close)
	native, err := runtime.New(steps)
	if err != nil {
		return err
	}
	a.closes("the builder's runtime", func() error { return native.Close() })
	if err := boundGit(filepath.Join(a.o.layout.Build(), "bin"), a.o.stall); err != nil {
		// As on a full disk, which one needs a daemon to make room on.
		a.log.Warn("git in builds will wait for servers that stand still", "error", err)
	}
	if err := ownTemp(a.o.layout.Temp()); err != nil {
		a.log.Warn("builds will put what their steps alone are to see into "+os.TempDir(), "error", err)
	}
	net := &buildNetwork{nets: a.nets, engine: a.engine}
	a.builder, err = build.New(build.Deps{
		Root: a.o.layout.Build(), Temp: a.o.layout.Temp(), Store: a.store, Runtime: native, Network: net, Gateway: net.gateway, AppArmor: confined(a.confiner),
		Built: readied(a.images), Cgroup: filepath.Join("lus-"+a.o.layout.Instance(), "build"), Allow: a.o.allow, Hosts: a.images.Hosts(), Stall: a.o.stall, Provenance: a.o.provenance, Devices: a.devices.Cache(), Log: a.log,
	})
	if err != nil {
		return err
	}
	a.builder.Clean(ctx)
	a.closes("the builder", a.builder.Close)
	a.runs("the builder", a.builder.Run)
	return nil
}

// addRegistry makes the accounts and the registry that they have rights on.
func (a *assembly) addRegistry(ctx context.Context) (err error) {
	a.accounts, err = account.New(ctx, account.Deps{DB: a.db, Dir: a.o.layout.Accounts(), Log: a.log})
	if err != nil {
		return err
	}
	a.runs("the accounts", a.accounts.Run)
	edge := token.New(a.accounts, a.log)
	a.registry, a.listener, err = newRegistry(ctx, registry.Deps{Store: a.store, DB: a.db, Access: edge, Limits: registry.Limits{Stall: a.o.stall * 2 / 3}, Transport: a.o.registries.Trust.Transport(), Log: a.log}, edge, a.certs)
	if err != nil {
		return err
	}
	a.own.registry, a.own.listener, a.own.signIn = a.registry, a.listener, edge.SignIn
	a.runs("the registry", a.registry.Run)
	a.runs("the registry's listener", a.listener.Run)
	return nil
}

// addAPI makes what answers at the socket.
func (a *assembly) addAPI(context.Context) error {
	projects, err := compose.New(compose.Deps{Engine: a.engine, Images: a.images, Builder: a.builder, DB: a.db, Log: a.log})
	if err != nil {
		return err
	}
	a.users.projects = projects
	mux := http.NewServeMux()
	for _, prefix := range accountapi.Prefixes() {
		mux.Handle(prefix, accountapi.New(a.accounts))
	}
	mux.Handle("/", docker.New(docker.Deps{
		Containers: a.engine, Networks: a.engine, Volumes: a.engine, Images: a.images, Builder: tellingBuilder{a.builder, a.engine.Publish}, System: facts{a.engine, a.nets, a.confiner}, Search: &a.own, Log: a.log,
	}))
	mux.Handle(lusapi.Prefix, lusapi.New(lusapi.Deps{Builder: a.builder, Layout: a.o.layout, Log: a.log, Processes: func() map[string]int {
		return map[string]int{"lus-keeper": a.keeper.Greeting().Pid, "lus-dns": a.names.current().Pid()}
	}}))
	mux.Handle(registryapi.ManagePrefix, registryapi.Manage(registryapi.ManageDeps{Manager: a.registry, Listener: a.listener}))
	mux.Handle(composeapi.Prefix, composeapi.New(projects))
	a.handler = mux
	return nil
}

// imageEvents passes what happens to images on to the engine's event stream.
type imageEvents struct{ engine *engine.Engine }

func (i *imageEvents) emit(e event.Event) {
	if i.engine != nil {
		i.engine.Publish(e)
	}
}

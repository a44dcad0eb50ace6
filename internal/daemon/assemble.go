package daemon

import (
	"context"
	"errors"
	"net/http"
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
func assemble(ctx context.Context, o options) (d *daemon, err error) {
	d = &daemon{log: o.log}
	made := d // returning an error makes d nil
	defer func() {
		if err != nil {
			err = errors.Join(err, made.close())
		}
	}()
	l := o.layout

	// Records and images.
	db, err := sqlite.Open(l.Records(), slices.Concat(engine.Migrations(), registry.Migrations(), account.Migrations(), compose.Migrations()))
	if err != nil {
		return nil, err
	}
	d.closes("the records", db.Close)
	store, err := content.Open(ctx, l.Images(), content.Options{Log: o.log})
	if err != nil {
		return nil, err
	}
	d.closes("the image store", store.Close)
	users := &imageUsers{}
	events := &imageEvents{}
	own := &ownRegistry{}
	certs := certificate.New(certificate.Deps{Dir: l.Certificates(), Log: o.log})
	registries := o.registries
	registries.Trust = image.Trust{Folders: []string{filepath.Join(filepath.Dir(l.Config()), "certs.d"), "/etc/lus/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d"}, Own: certs.Trusted}
	images, err := image.New(image.Deps{Store: store, Registries: registries, Users: users, Held: users.held, Own: own, Events: events.emit, Limits: image.Limits{Stall: o.stall}, Log: o.log})
	if err != nil {
		return nil, err
	}

	// The kernel: processes, networks, names.
	k, err := connectKeeper(ctx, l, o.log)
	if err != nil {
		return nil, err
	}
	d.closes("the keeper's client", k.Close)
	d.runs("the keeper", func(ctx context.Context) error { return watchKeeper(ctx, k) })
	native, err := runtime.New(k)
	if err != nil {
		return nil, err
	}
	d.closes("the runtime", func() error { return native.Close() })
	runtimes, err := ociruntime.New(ctx, native, k, l.OCI(), o.log)
	if err != nil {
		return nil, err
	}
	namer := &containerNames{}
	nets, err := network.New(network.Config{Instance: l.Instance(), Log: o.log, Holder: holder{k}, Name: namer.name})
	if err != nil {
		return nil, err
	}
	d.closes("the networks", nets.Close)
	names, err := newNames(ctx, l, o.log)
	if err != nil {
		return nil, err
	}
	d.closes("the name server's client", names.Close)

	confiner := &apparmor.Host{}
	devices, err := cdi.New(o.devices)
	if err != nil {
		return nil, err
	}

	// The services.
	eng, err := engine.New(engine.Deps{
		Runtime: withoutBuilds{runtimes}, Images: images, Network: nets, Names: names, AppArmor: confiner, Devices: devices,
		Layout: l, DB: db, Log: o.log,
	})
	if err != nil {
		return nil, err
	}
	d.closes("what nothing needs any more", func() error { return retire(l, k, names, nets, o.log) })
	d.ready = eng.CaughtUp
	users.engine, events.engine, namer.engine = eng, eng, eng
	d.runs("the name server", func(ctx context.Context) error { return names.run(ctx, eng) })
	d.runs("the engine", eng.Run)
	// Records, leases and the kernel agree from here on: garbage may be told.
	store.Ready()
	d.runs("the sweeper of images", func(ctx context.Context) error { return sweep(ctx, images, eng, o.log) })

	// The builder has a connection to the keeper of its own: each is watched by
	// one, and build steps end with theirs.
	steps, err := keeper.Connect(ctx, l.KeeperSocket())
	if err != nil {
		return nil, err
	}
	d.closes("the builder's client of the keeper", steps.Close)
	stepRuntime, err := runtime.New(steps)
	if err != nil {
		return nil, err
	}
	d.closes("the builder's runtime", func() error { return stepRuntime.Close() })
	builder, err := newBuilder(builderParts{store, images, stepRuntime, nets, eng, confiner, devices}, o)
	if err != nil {
		return nil, err
	}
	builder.Clean(ctx)
	d.closes("the builder", builder.Close)
	d.runs("the builder", builder.Run)
	accounts, err := account.New(ctx, account.Deps{DB: db, Dir: l.Accounts(), Log: o.log})
	if err != nil {
		return nil, err
	}
	d.runs("the accounts", accounts.Run)
	edge := token.New(accounts, o.log)
	reg, listener, err := newRegistry(ctx, registry.Deps{Store: store, DB: db, Access: edge, Limits: registry.Limits{Stall: o.stall * 2 / 3}, Transport: registries.Trust.Transport(), Log: o.log}, edge, certs)
	if err != nil {
		return nil, err
	}
	own.registry, own.listener, own.signIn = reg, listener, edge.SignIn
	d.runs("the registry", reg.Run)
	d.runs("the registry's listener", listener.Run)
	projects, err := compose.New(compose.Deps{Engine: eng, Images: images, Builder: builder, DB: db, Log: o.log})
	if err != nil {
		return nil, err
	}
	users.projects = projects

	mux := http.NewServeMux()
	for _, prefix := range accountapi.Prefixes() {
		mux.Handle(prefix, accountapi.New(accounts))
	}
	mux.Handle("/", docker.New(docker.Deps{
		Containers: eng, Networks: eng, Volumes: eng, Images: images, Builder: tellingBuilder{builder, eng.Publish}, System: facts{eng, nets, confiner}, Search: own, Log: o.log,
	}))
	mux.Handle(lusapi.Prefix, lusapi.New(lusapi.Deps{Builder: builder, Layout: l, Log: o.log, Processes: func() map[string]int {
		return map[string]int{"lus-keeper": k.Greeting().Pid, "lus-dns": names.current().Pid()}
	}}))
	mux.Handle(registryapi.ManagePrefix, registryapi.Manage(registryapi.ManageDeps{Manager: reg, Listener: listener}))
	mux.Handle(composeapi.Prefix, composeapi.New(projects))
	d.handler = mux
	return d, nil
}

// builderParts are what the builder stands on.
type builderParts struct {
	store   *content.Store
	images  *image.Service
	runtime build.Runtime
	nets    *network.Manager
	engine  *engine.Engine
	confine *apparmor.Host
	devices *cdi.Devices
}

func newBuilder(p builderParts, o options) (*build.Service, error) {
	net := &buildNetwork{nets: p.nets, engine: p.engine}
	return build.New(build.Deps{
		Root: o.layout.Build(), Store: p.store, Runtime: p.runtime, Network: net, Gateway: net.gateway, AppArmor: confined(p.confine),
		Built: readied(p.images), Cgroup: filepath.Join("lus-"+o.layout.Instance(), "build"), Allow: o.allow, Hosts: p.images.Hosts(), Provenance: o.provenance, Devices: p.devices.Cache(), Log: o.log,
	})
}

// imageEvents passes what happens to images on to the engine's event stream.
type imageEvents struct{ engine *engine.Engine }

func (i *imageEvents) emit(e event.Event) {
	if i.engine != nil {
		i.engine.Publish(e)
	}
}

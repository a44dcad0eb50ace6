package engine

import (
	"context"
	"time"

	"lus/internal/base/errs"
	"lus/internal/linux/ociruntime"
	"lus/internal/model/container"
	"lus/internal/model/event"
	"lus/internal/model/filter"
)

// Events gives what happened since (zero: from now) and what happens until ctx
// or the bound ends.
func (e *Engine) Events(ctx context.Context, since, until time.Time, f filter.Filters) (<-chan event.Event, error) {
	err := known(f, "type", "event", "container", "network", "volume", "image", "daemon", "scope", "label", "plugin", "node", "service", "secret", "config")
	if err != nil {
		return nil, err
	}
	for _, k := range []string{"plugin", "node", "service", "secret", "config"} {
		if f.Has(k) {
			return nil, errs.New(errs.Unsupported, "events of a %s belong to swarm or to plugins, which Lus has not", k)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(e.life, cancel)
	context.AfterFunc(ctx, cancel)
	return e.events.Subscribe(ctx, since, until, f), nil
}

// Publish tells of what happened elsewhere: to images, mostly.
func (e *Engine) Publish(ev event.Event) { e.events.Publish(ev) }

// runtimes are those that a container can ask for here.
func runtimes() map[string]any {
	out := map[string]any{}
	for name, path := range ociruntime.Installed() {
		out[name] = map[string]string{"path": path}
	}
	return out
}

// Info counts the containers; the rest of GET /info is others' to tell.
func (e *Engine) Info(context.Context) (map[string]any, error) {
	count := map[string]int{}
	units := e.all()
	for _, u := range units {
		count[u.snapshot().State.Status]++
	}
	folders, devices := []string{}, []map[string]string{}
	if e.Devices != nil {
		folders = e.Devices.Folders()
		for _, name := range e.Devices.Names() {
			devices = append(devices, map[string]string{"Source": "cdi", "ID": name})
		}
	}
	return map[string]any{
		"CDISpecDirs":       folders,
		"DiscoveredDevices": devices,
		"Containers":        len(units),
		"ContainersRunning": count[container.Running] + count[container.Restarting],
		"ContainersPaused":  count[container.Paused],
		"ContainersStopped": len(units) - count[container.Running] - count[container.Restarting] - count[container.Paused],
		"DockerRootDir":     e.Layout.Root,
		"Driver":            "overlay2",
		"LoggingDriver":     "json-file",
		"DefaultRuntime":    ociruntime.Own,
		"Runtimes":          runtimes(),
		"Plugins":           map[string]any{"Volume": []string{"local"}, "Network": []string{"bridge", "host", "ipvlan", "macvlan", "null"}, "Log": []string{"json-file", "local", "none"}},
	}, nil
}

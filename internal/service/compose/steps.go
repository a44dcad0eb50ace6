package compose

import (
	"context"
	"fmt"
	"slices"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// act carries out one step; status replaces the usual word where it is not empty.
func (r *runner) act(ctx context.Context, st *step) (status string, err error) {
	switch st.action {
	case compose.Keep, updated:
		return "", nil
	case updateService:
		return "", r.update(ctx, st)
	case waitFor:
		return r.wait(ctx, st)
	case confirmAll:
		return "", r.confirmed(ctx, st)
	case compose.PullImage, compose.BuildImage:
		return r.fetch(ctx, st)
	case compose.RunHook:
		return "", r.runHook(ctx, st)
	}
	free, err := r.slot(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	switch st.action {
	case compose.CreateNetwork:
		n := *st.network
		_, warning, err := r.Engine.CreateNetwork(ctx, &n)
		if warning != "" {
			r.tell(compose.Event{Warning: warning})
		}
		return "", about("network", st.name, err)
	case renewNetwork:
		return "", about("network", st.name, r.renew(ctx, st))
	case connectContainer:
		return "", about("container", st.name, r.Engine.ConnectNetwork(ctx, st.network.Name, st.old.ID, st.endpoint))
	case compose.CreateVolume:
		_, err := r.Engine.CreateVolume(ctx, st.volume)
		return "", about("volume", st.name, err)
	case compose.CreateContainer:
		return "", about("container", st.name, r.create(ctx, st))
	case renameContainer:
		return "", about("container", st.name, r.rename(ctx, st))
	case compose.StartContainer:
		return "", about("container", st.name, r.start(ctx, st))
	case compose.StopContainer:
		return "", about("container", st.name, r.stop(ctx, st))
	case compose.RemoveContainer:
		return "", about("container", st.name, ignore(r.Engine.RemoveContainer(ctx, st.old.ID, container.RemoveOptions{Force: true, Volumes: st.volumes}), errs.NotFound))
	case compose.RemoveImage:
		return r.removeImage(ctx, st)
	case compose.RemoveNetwork:
		return r.removeShared(r.Engine.RemoveNetwork(ctx, st.name), "network", st.name)
	case compose.RemoveVolume:
		return r.removeShared(r.Engine.RemoveVolume(ctx, st.name, false), "volume", st.name)
	}
	return "", errs.New(errs.Internal, "a plan has an unknown step %q", st.action)
}

// start starts a container and runs what is to be run once it has.
func (r *runner) start(ctx context.Context, st *step) error {
	id := r.idOf(st)
	if err := r.Engine.StartContainer(ctx, id); err != nil {
		return err
	}
	if st.service == nil {
		return nil
	}
	return r.hooks(ctx, id, "post_start", st.service.PostStart)
}

// stop runs what is to be run before and stops the container.
func (r *runner) stop(ctx context.Context, st *step) error {
	if st.old.State.Status == container.Running {
		if err := r.hooks(ctx, st.old.ID, "pre_stop", r.preStop(st.old)); err != nil {
			return err
		}
	}
	if err := r.Engine.StopContainer(ctx, st.old.ID, "", st.timeout); err != nil {
		return ignore(err, errs.NotFound, errs.NotModified)
	}
	if c, err := r.Engine.InspectContainer(ctx, st.old.ID, false); err == nil && c.StopNote != "" {
		r.tell(compose.Event{Warning: c.StopNote})
	}
	return nil
}

// removeImage leaves an image that something else uses, and says so.
func (r *runner) removeImage(ctx context.Context, st *step) (string, error) {
	_, err := r.Images.RemoveImage(ctx, st.name, false, false)
	return r.removeShared(err, "image", st.name)
}

// removeShared leaves what something outside the project still uses.
func (r *runner) removeShared(err error, kind, name string) (string, error) {
	if errs.Is(err, errs.Conflict) {
		r.tell(compose.Event{Warning: fmt.Sprintf("%s %s is kept: %v", kind, name, err)})
		return "Resource is still in use", nil
	}
	return "", about(kind, name, ignore(err, errs.NotFound))
}

func about(kind, name string, err error) error {
	if err == nil {
		return nil
	}
	return errs.New(errs.KindOf(err), "%s %s: %w", kind, name, err)
}

func ignore(err error, kinds ...errs.Kind) error {
	if err != nil && slices.Contains(kinds, errs.KindOf(err)) {
		return nil
	}
	return err
}

func key(st *step) string { return numbered(st.service.Name, st.number) }

func (r *runner) remember(st *step, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids[key(st)] = id
}

func (r *runner) idOf(st *step) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[key(st)]
}

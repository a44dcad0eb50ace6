package engine

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/linux/cgroup"
	"lus/internal/linux/network"
	"lus/internal/model/container"
	model "lus/internal/model/network"
	"lus/internal/model/task"
)

// reconcile brings records, kernel and disk into agreement after a start.
func (e *Engine) reconcile(ctx context.Context) error {
	list, err := e.Runtime.List(ctx)
	if err != nil {
		return err
	}
	status := map[string]task.Status{}
	for _, s := range list {
		switch {
		case !ours(s.Container):
		case s.Exec != "":
			if s.Exit != nil {
				e.ack(s) // who asked for it is gone
			}
		case e.units[s.Container] == nil:
			e.discard(s)
		default:
			status[s.Container] = s
		}
	}
	var running []network.Running
	var halves []task.Status
	for _, u := range e.units {
		before := u.row()
		if half := e.adopt(u, status); half != nil {
			halves = append(halves, *half)
		}
		if u.rec.State.Running() {
			running = append(running, e.connected(&u.rec))
		} else {
			blank(&u.rec)
		}
		// Most are as they were: a start among many containers writes little.
		if !reflect.DeepEqual(before, u.row()) {
			e.records.touch(u)
		}
	}
	if err := e.reconcileVolumes(); err != nil {
		e.Log.Error("bringing mounted volumes into agreement", "err", err)
	}
	if err := e.reconcileImages(ctx); err != nil {
		e.Log.Error("bringing mounted images into agreement", "err", err)
	}
	if err := e.reconcileNetworks(ctx, running); err != nil {
		return err
	}
	e.sweepFolders()
	e.sweepVolumes()
	e.sweepCgroups(list)
	e.loaded = e.all()
	// A full disk is no reason to leave everybody without a daemon: it is by the
	// daemon that they make room. What is not written now is tried again.
	if err := e.records.flush(ctx); err != nil {
		e.Log.Error("writing what a start found out", "err", err)
	}
	// Not before the records say that they never ran: of what the keeper does not
	// know the next daemon would think otherwise.
	for _, s := range halves {
		e.discard(s)
	}
	if err := e.Images.Sweep(ctx, e.UsedImages()); err != nil {
		e.Log.Error("letting go of images that nobody uses", "err", err)
	}
	return nil
}

// adopt compares one record with what the keeper says. What it returns came to
// nothing and is to be discarded.
func (e *Engine) adopt(u *unit, status map[string]task.Status) (half *task.Status) {
	s, known := status[u.id]
	st := &u.rec.State
	wasRunning := st.Running()
	begun := u.begun
	u.begun = false
	switch {
	case known && s.Generation == u.gen && s.Phase == task.Running:
		if !wasRunning { // the former daemon died between the start and its record
			*st = container.State{Status: container.Running, StartedAt: s.Started, FinishedAt: st.FinishedAt}
			if probes(u.rec.Config) {
				st.Health = &container.Health{Status: container.Starting, Log: []container.HealthResult{}}
			}
			u.wasStarted = true
		}
		st.Pid = s.Pid
		close(u.run.started)
	case known && s.Generation == u.gen && s.Phase == task.Ended && s.Exit != nil && s.Exit.Step == "" && !s.Started.IsZero() && !st.FinishedAt.Equal(s.Exit.At):
		// It ended while nobody watched: Watch tells of it again.
		st.Status, st.Pid = container.Running, 0
		if !wasRunning {
			st.StartedAt = s.Started
		}
		u.wasStarted = true
		close(u.run.started)
		e.unwatched = append(e.unwatched, u.run)
	default:
		if known {
			half = &s
		}
		// That it was started may be known by the keeper alone, and die with it. It is
		// written while the keeper forks: of what ran in this boot a keeper knows, be it by
		// what one before it has left.
		started := begun && !known && !u.begunNow
		if begun && known {
			started = s.Generation == u.gen && s.Exit != nil && s.Exit.Code == task.ExitUnknown
		}
		e.lost(u, wasRunning || started)
		if unlogged(u.rec.HostConfig) {
			e.warn("removing output that is not kept", &u.rec, e.paths(u.id).dropLog())
		}
	}
	return half
}

// lost: nothing runs. Where the record says otherwise the machine was
// restarted, or the keeper died, and nobody saw the end.
func (e *Engine) lost(u *unit, wasRunning bool) {
	st := &u.rec.State
	switch {
	case wasRunning:
		u.wasStarted = true
		*st = container.State{Status: container.Exited, ExitCode: 255, StartedAt: st.StartedAt, FinishedAt: e.Now(), Health: st.Health,
			Error: "the container's end was not seen: the machine or lus-keeper stopped"}
		u.last = container.Exit{Code: 255, At: st.FinishedAt, Err: st.Error}
	case st.Status == container.Restarting, st.Status == container.Removing:
		st.Status = container.Exited
	}
}

// connected is a running container as the networks need to know it.
func (e *Engine) connected(rec *container.Container) network.Running {
	r := network.Running{ContainerID: rec.ID, Ports: rec.Ports}
	places, err := e.placesNow(rec)
	if err != nil {
		e.Log.Warn("a running container's network is gone", "container", rec.Name, "err", err)
		return r
	}
	for _, p := range places {
		if mac, err := net.ParseMAC(rec.Networks[p.name].MacAddress); err == nil {
			p.ep.MAC = mac
		}
		r.Endpoints = append(r.Endpoints, p.ep)
	}
	r.Ways = waysIn(places)
	if r.Asked, err = ports(rec); err != nil {
		e.Log.Warn("a running container's ports cannot be read", "container", rec.Name, "err", err)
	}
	return r
}

// reconcileNetworks makes the networks, keeps what the running have, and tells
// the name server who is who.
func (e *Engine) reconcileNetworks(ctx context.Context, running []network.Running) error {
	nets := e.wired()
	had := map[string][]model.Pool{}
	for _, n := range nets {
		had[n.ID] = slices.Clone(n.IPAM.Config)
	}
	// A network that cannot be had, or a port somebody else took meanwhile, is
	// no reason to leave all containers without a daemon.
	if err := e.Network.Reconcile(ctx, nets, running); err != nil {
		e.Log.Error("bringing networks into agreement", "err", err)
	}
	for _, n := range nets {
		old, now := subnets(had[n.ID]), subnets(n.IPAM.Config)
		if now == "" || old == "" || now == old {
			continue
		}
		e.Log.Warn("somebody took a network's subnet while nothing ran: it has another now",
			"network", n.Name, "had", old, "has", now)
		if err := e.saveNetwork(ctx, n); err != nil {
			e.Log.Error("writing a network's new subnet", "network", n.Name, "err", err)
		}
	}
	if err := e.ensureNetworks(ctx); err != nil {
		return err
	}
	return e.ServeNames(ctx)
}

// subnets lists a network's for people.
func subnets(pools []model.Pool) string {
	words := make([]string, len(pools))
	for i, p := range pools {
		words[i] = p.Subnet
	}
	return strings.Join(words, " ")
}

// ServeNames hands the name server everything it needs to know, also one that
// knows nothing yet, and ends its service of the dead. A container that cannot
// be served is warned of and holds up no other.
func (e *Engine) ServeNames(ctx context.Context) error {
	have, err := e.Names.List(ctx)
	if err != nil {
		return err
	}
	idle := map[string]bool{}
	for _, id := range have {
		idle[id] = ours(id)
	}
	type served struct {
		rec    container.Container
		places []place
	}
	var all []served
	for _, u := range e.all() {
		rec, starting := u.starting()
		if starting { // it may have told the one before of itself, or this one already
			delete(idle, rec.ID)
			e.deferred.do(func() { e.serveLate(ctx, u) })
			continue
		}
		if !rec.State.Running() || rec.State.Pid == 0 {
			continue
		}
		places, err := e.placesNow(&rec)
		switch {
		case err != nil:
			e.warn("serving names", &rec, err)
		case named(places):
			delete(idle, rec.ID)
			e.noteNames(&rec, places)
			all = append(all, served{rec, places})
		}
	}
	// Only now is anything sent, and each table whole: a name server that went on
	// without the daemon must not forget one container when it is told of another.
	for _, s := range all {
		if err := e.serveAgain(ctx, &s.rec, s.places); err != nil {
			e.warn("serving names", &s.rec, err)
		}
	}
	for id, drop := range idle {
		if drop {
			if err := e.Names.Drop(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// serveLate serves a container that was being started once it runs.
func (e *Engine) serveLate(ctx context.Context, u *unit) {
	u.op.Lock()
	defer u.op.Unlock()
	rec, r := u.currentRun()
	if !rec.State.Running() {
		return
	}
	places, err := e.placesNow(&rec)
	if err == nil && named(places) {
		err = e.serveAgain(ctx, &rec, places)
		e.takeBack(ctx, u, &rec, r)
	}
	e.warn("serving names", &rec, err)
}

// sweepFolders removes the folders of containers that no record knows, and
// takes out of memory containers whose folder is gone.
func (e *Engine) sweepFolders() {
	entries, err := os.ReadDir(e.Layout.Containers())
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			e.Log.Warn("looking for folders nobody needs", "err", err)
		}
		return
	}
	for _, d := range entries {
		if id := d.Name(); ours(id) && e.units[id] == nil {
			p := e.paths(id)
			if err := errors.Join(unmountAt(p.shm), p.dropImages(), os.RemoveAll(p.dir)); err != nil {
				e.Log.Warn("removing a folder nobody needs", "id", ids.Short(id), "err", err)
			}
		}
	}
}

// sweepVolumes removes the folders of volumes nobody named whose making was cut
// short before there was a record. What has anything in it stays, whatever it is.
func (e *Engine) sweepVolumes() {
	entries, err := os.ReadDir(e.Layout.Volumes())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		e.Log.Warn("looking for volumes nobody needs", "err", err)
	}
	for _, d := range entries {
		if name := d.Name(); ours(name) && e.volumes[name] == nil {
			dir := filepath.Join(e.Layout.Volumes(), name)
			if err := os.Remove(filepath.Join(dir, "_data")); err == nil || errors.Is(err, os.ErrNotExist) {
				_ = os.Remove(dir) // only where it is empty
			}
		}
	}
}

// sweepCgroups removes the cgroups of containers that have no process: a crash
// can fall between a process's end and that of its cgroup.
func (e *Engine) sweepCgroups(list []task.Status) {
	used := map[string]bool{}
	for _, s := range list {
		used[s.Container] = true
	}
	sys, err := cgroup.Detect()
	if err == nil {
		var parent *cgroup.Group
		if parent, err = sys.Group(filepath.Dir(e.cgroup("x"))); err == nil {
			err = parent.Sweep(func(name string) bool { return !ours(name) || used[name] })
		}
	}
	if err != nil {
		e.Log.Warn("removing cgroups nobody needs", "err", err)
	}
}

// CaughtUp returns once every end that nobody watched is in the records: until
// then a container that is over looks as if it ran. The keeper tells of them at
// once; ctx and a moment bound the wait for one that does not.
func (e *Engine) CaughtUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, r := range e.unwatched {
		select {
		case <-r.ended:
		case <-ctx.Done():
			return
		}
	}
}

// resume goes on where the former daemon stopped: probes, removals that were
// due, restarts. It is called once Watch is under way.
func (e *Engine) resume() {
	for _, u := range e.loaded {
		u.mu.Lock()
		rec, r := u.rec, u.run
		started := u.wasStarted
		u.mu.Unlock()
		switch {
		case rec.State.Running():
			e.startProbe(u, r)
		case rec.HostConfig.AutoRemove && rec.State.Status != container.Running:
			e.forget(u, true)
			e.deferred.do(func() { e.clear(u, true) })
		case started && due(&rec):
			e.restarting.Go(func() { e.startAgain(u) })
		}
	}
	e.loaded = nil
}

// startAgain starts what its policy wants running.
func (e *Engine) startAgain(u *unit) {
	if e.life.Err() != nil {
		return
	}
	// What it is linked to has to run before it.
	rec := u.snapshot()
	for _, l := range e.links(&rec) {
		if due(&l.rec) {
			e.startAgain(l.unit)
		}
	}
	err := e.StartContainer(e.life, u.id)
	if err != nil && !errs.Is(err, errs.NotModified) && !errs.Is(err, errs.NotFound) {
		e.Log.Error("starting a container again", "id", ids.Short(u.id), "err", err)
	}
}

package engine

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/container"
	"lus/internal/model/network"
	"lus/internal/model/task"
)

// onExit is told by the runtime of every end, at least once.
func (e *Engine) onExit(s task.Status) {
	if s.Exit == nil {
		return
	}
	if s.Exec != "" {
		e.deferred.do(func() { e.execEnded(s) })
		return
	}
	u := e.unitByID(s.Container)
	if u == nil {
		if ours(s.Container) {
			e.deferred.do(func() { e.discard(s) })
		}
		return
	}
	u.mu.Lock()
	r := u.run
	mine := s.Generation == u.gen
	if mine && u.launching {
		u.early = &s // launch deals with it once it knows how the start went
		u.mu.Unlock()
		return
	}
	running := u.rec.State.Running()
	u.mu.Unlock()
	switch {
	case !mine:
		e.deferred.do(func() { e.ack(s) })
		return
	case !running:
		return // told twice: its end is being cleaned up
	}
	e.deferred.do(func() { e.ended(u, r, &s) })
}

// ours reports whether an id is one that this engine gives; builds share the
// runtime and give ids of their own kind.
func ours(id string) bool {
	return len(id) == 64 && strings.Trim(id, "0123456789abcdef") == ""
}

// discard clears away a process that no record knows.
func (e *Engine) discard(s task.Status) {
	if err := e.Runtime.Delete(context.Background(), s.Container); err != nil && !errs.Is(err, errs.NotFound) {
		e.Log.Warn("removing an unknown container", "id", ids.Short(s.Container), "err", err)
	}
	e.ack(s)
}

func (e *Engine) ack(s task.Status) {
	if err := e.Runtime.Ack(context.Background(), s.Key, s.Generation); err != nil && !errs.Is(err, errs.NotFound) {
		e.Log.Warn("acknowledging an exit", "id", ids.Short(s.Container), "err", err)
	}
}

// ended brings one run to its end: names, ports and addresses first, then the
// record, the events and whoever waits, and the rest when nobody waits any more.
func (e *Engine) ended(u *unit, r *run, s *task.Status) {
	u.mu.Lock()
	if u.run != r || !u.rec.State.Running() {
		u.mu.Unlock()
		return // told twice
	}
	if u.ending {
		u.mu.Unlock()
		return
	}
	u.ending = true
	before := u.rec
	u.mu.Unlock()

	e.unplug(context.Background(), &before)
	if before.HostConfig.AutoRemove {
		e.freeName(u, before.Name)
	}
	var left []*network.Network
	for _, ep := range before.Networks {
		if n, err := e.network(ep.NetworkID); err == nil && onWire(n) {
			left = append(left, n)
		}
	}
	e.dropUnstarted(u)
	again, removed, delay := e.finish(u, r, s, left)
	if removed {
		e.forget(u, true)
	} else {
		e.records.touch(u)
	}
	e.deferred.do(func() {
		if removed { // nobody waits for the rest, but somebody for the answer
			time.Sleep(breath)
		}
		e.clean(u, r, s, removed)
		if again {
			e.restartAfter(u, delay)
		}
	})
}

// breath is how long cleaning up waits while the answers of the exit are on
// their way: on a small machine both would want the same processors.
const breath = 2 * time.Millisecond

func (e *Engine) tellDie(rec *container.Container, x *task.Exit) {
	if x.OOM {
		e.tell(rec, "oom")
	}
	more := []string{"exitCode", strconv.Itoa(rec.State.ExitCode)}
	if d := rec.State.FinishedAt.Sub(rec.State.StartedAt); !rec.State.StartedAt.IsZero() {
		more = append(more, "execDuration", strconv.Itoa(int(d/time.Second)))
	}
	e.tell(rec, "die", more...)
}

// finish writes the end into the record and tells of it and of the networks that
// it left, all under the lock: whoever sees that it has ended, and does or tells
// something next, comes after.
func (e *Engine) finish(u *unit, r *run, s *task.Status, left []*network.Network) (again, removed bool, delay time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopProbe()
	code := s.Exit.Code
	why := ""
	if code == task.ExitUnknown {
		code, why = 255, "the process ended while nobody watched: its exit code is unknown"
	}
	st := &u.rec.State
	ran := s.Exit.At.Sub(st.StartedAt)
	*st = container.State{Status: container.Exited, ExitCode: code, OOMKilled: s.Exit.OOM, Error: why, StartedAt: st.StartedAt, FinishedAt: s.Exit.At, Health: st.Health}
	blank(&u.rec)
	again, delay = u.restarts.next(&u.rec, ran)
	if again {
		st.Status = container.Restarting
		u.rec.RestartCount++
	}
	r.exit = container.Exit{Code: code, OOMKilled: s.Exit.OOM, At: s.Exit.At, Err: why}
	u.last = r.exit
	u.cleaning = r.cleaned
	u.run = newRun()
	u.ending = false
	for _, sig := range u.sent { // what it ended by comes before its end
		e.tellKill(&u.rec, sig)
	}
	u.sent = nil
	// Before anybody knows of the end: a restart that waited for it has it removed
	// by the next one.
	removed = u.rec.HostConfig.AutoRemove && !again
	e.tellDie(&u.rec, s.Exit)
	for _, n := range left {
		e.tellNetwork(n, "disconnect", u.id)
	}
	e.tellMounts(u, "unmount")
	close(r.ended)
	return again, removed, delay
}

// clean gives back what nobody waits for. The keeper forgets the exit only once
// the records know it.
func (e *Engine) clean(u *unit, r *run, s *task.Status, removed bool) {
	defer close(r.cleaned)
	ctx := context.Background()
	if !e.recorded(ctx, u) {
		return // the keeper goes on knowing it
	}
	rec := u.snapshot()
	// This makes the keeper forget the exit too, and not before: by what the
	// keeper knows a later daemon finds what there is to release.
	if err := e.Runtime.Delete(ctx, u.id); err != nil && !errs.Is(err, errs.NotFound) {
		e.warn("releasing the container", &rec, err)
		e.ack(*s)
	}
	e.warn("unmounting volumes", &rec, u.held.all(ctx))
	if rec.HostConfig.IpcMode == "shareable" {
		e.warn("unmounting /dev/shm", &rec, unmountAt(e.paths(u.id).shm))
	}
	if removed {
		e.clear(u, true)
	} else if unlogged(rec.HostConfig) {
		e.dropPassing(u, r)
	}
}

// recorded returns once the records know what is in memory: true, or false where
// the engine stops before. A full disk is waited for; but a container that is
// being removed gives back what it has written first, for that may be what fills it.
func (e *Engine) recorded(ctx context.Context, u *unit) bool {
	for made := false; ; {
		err := e.records.flush(ctx)
		switch {
		case err == nil:
			return true
		case e.life.Err() != nil:
			return false
		case !made && errs.Is(err, errs.Unavailable) && u.forgotten():
			made = true
			e.makeRoom(ctx, u)
			continue
		}
		select {
		case <-e.life.Done():
			return false
		case <-time.After(retryAfter):
		}
	}
}

// makeRoom gives back the space of a container that is being removed, while its
// record cannot be removed yet. Were the daemon to die just now, the container
// would be there again, and be empty.
func (e *Engine) makeRoom(ctx context.Context, u *unit) {
	rec := u.snapshot()
	// An overlay that is mounted holds on to what is removed below it.
	if err := e.Runtime.Delete(ctx, u.id); err != nil && !errs.Is(err, errs.NotFound) {
		e.warn("releasing the container", &rec, err)
	}
	p := e.paths(u.id)
	e.warn("making room", &rec, errors.Join(p.dropLog(), os.RemoveAll(p.upper)))
}

// forget takes a container out of memory, its name with it, and returns once that
// is told. With volumes those that were made for it alone go along. Its folder and
// theirs are left to clear.
func (e *Engine) forget(u *unit, volumes bool) {
	e.mu.Lock()
	delete(e.units, u.id)
	for name, holder := range e.names {
		if holder == u {
			delete(e.names, name)
		}
	}
	for id, x := range e.execs {
		if x.unit == u {
			delete(e.execs, id)
		}
	}
	e.mu.Unlock()
	u.mu.Lock()
	already := u.removed
	u.removed = true
	rec := u.rec
	u.mu.Unlock()
	own, mounted, _ := u.images()
	for _, id := range append(mounted, own) {
		e.Images.Returned(id) // before anybody hears that it is gone
	}
	if already {
		<-u.gone
		return
	}
	if volumes {
		e.hideAnonymous(u)
	}
	e.records.touchSoon(u) // who removes its files waits for that
	e.tell(&rec, "destroy")
	close(u.gone) // what they tell of next comes after
}

// clear removes a forgotten container's folder and, where asked, its anonymous
// volumes. The record goes first: a folder without one is swept at the start.
func (e *Engine) clear(u *unit, volumes bool) {
	ctx := context.Background()
	rec := u.snapshot()
	if !e.recorded(ctx, u) {
		return // the next daemon finds it
	}
	await(&u.readers)
	if volumes {
		e.removeAnonymous(ctx, u)
	}
	p := e.paths(u.id)
	e.warn("unmounting what it had mounted", &rec, errors.Join(unmountAt(p.shm), p.dropImages()))
	if err := os.RemoveAll(p.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		e.warn("removing the container's folder", &rec, err)
	}
}

// readersPatience bounds how long a log that goes is kept for those who still
// read it; what they have open they can read to its end anyway.
const readersPatience = 5 * time.Second

func await(readers *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		readers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(readersPatience):
	}
}

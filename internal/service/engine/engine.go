// Package engine runs containers: it keeps their records, turns what is asked
// into a specification, asks the runtime, the networks and the name server for
// what a container needs, gives all of it back when the container ends, and
// brings everything into agreement with the kernel when the daemon starts.
//
// Memory is the fast truth; records follow it, without waiting for the disk,
// within a moment (records.go). What is slow and nobody waits for is done after
// the exit was reported (deferred.go).
package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"lus/internal/base/boot"
	"lus/internal/model/network"
	"lus/internal/model/volume"
	"lus/internal/service/engine/internal/bus"
	"lus/internal/service/engine/internal/spec"
	"lus/internal/store/logs"
)

// Engine is the container engine. Its methods are safe for concurrent use.
type Engine struct {
	Deps
	boot       string // this one's, boot.ID
	records    *records
	events     bus.Bus
	hub        *logs.Hub
	deferred   deferred
	whoIs      spec.Users
	restarting sync.WaitGroup // restarts that wait
	probing    sync.WaitGroup // health probes

	mu         sync.RWMutex // guards the maps, not what they lead to
	units      map[string]*unit
	names      map[string]*unit // by container name
	networks   map[string]*network.Network
	volumes    map[string]*volumeEntry
	execs      map[string]*execution
	execsSwept time.Time

	loaded []*unit // what a former daemon left, until Run goes on with it
	// unwatched are the runs that ended while there was no daemon; written by
	// New only.
	unwatched []*run

	netOp sync.Mutex // one change of networks at a time
	dns   nameTables

	// life ends when Run's context does: restarts, probes and the like stop.
	life context.Context
	stop context.CancelFunc
}

// volumeEntry is a volume and who is filling it.
type volumeEntry struct {
	volume.Volume
	fill sync.Mutex // the first use copies the image's content; the others wait

	mounting sync.Mutex
	holders  int // runs that have it mounted, see hold
}

// New loads the records and brings them into agreement with what runs: what
// ran on is adopted, what ended meanwhile is recorded, what was half made is
// undone. Nothing is started before Run.
func New(d Deps) (*Engine, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	e := &Engine{
		Deps: d, hub: logs.NewHub(),
		units: map[string]*unit{}, names: map[string]*unit{},
		networks: map[string]*network.Network{}, volumes: map[string]*volumeEntry{},
		execs: map[string]*execution{},
	}
	var err error
	if e.boot, err = boot.ID(); err != nil {
		return nil, err
	}
	e.life, e.stop = context.WithCancel(context.Background())
	e.records = newRecords(e)
	// A full disk is no reason to leave everybody without a daemon: each start tries again.
	if _, err := e.onStubs(nil); err != nil {
		e.Log.Error("making what containers' files are mounted on", "err", err)
	}
	if err := e.load(e.life); err != nil {
		return nil, err
	}
	if err := e.reconcile(e.life); err != nil {
		return nil, err
	}
	return e, nil
}

// Run watches the containers, restarts and probes them until ctx ends; then it
// returns once everything it began has ended. The containers run on.
func (e *Engine) Run(ctx context.Context) error {
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		e.watch()
	}()
	e.resume()
	<-ctx.Done()
	e.stop()
	<-watching
	e.restarting.Wait()
	e.probing.Wait()
	e.hub.Close()
	e.deferred.close()
	return e.records.close()
}

// watch learns of every end, again and again: the keeper may be replaced
// meanwhile, and tells again what was not acknowledged.
func (e *Engine) watch() {
	for {
		err := e.Runtime.Watch(e.life, e.onExit)
		if e.life.Err() != nil {
			return
		}
		e.Log.Error("watching the containers: trying again", "err", err)
		select {
		case <-e.life.Done():
			return
		case <-time.After(retryAfter):
		}
	}
}

// Settle returns once everything deferred is done: what ended has left no trace
// in the kernel, and the records say so.
func (e *Engine) Settle(ctx context.Context) error {
	if err := e.deferred.settle(ctx); err != nil {
		return err
	}
	if err := e.Network.Settle(ctx); err != nil {
		return err
	}
	return e.records.flush(ctx)
}

// ContainersUsing tells the names of the containers made from an image, or that
// mount it, running ones first.
func (e *Engine) ContainersUsing(imageID string) (running, stopped []string) {
	for _, u := range e.all() {
		own, mounted, rec := u.images()
		switch {
		case own != imageID && !slices.Contains(mounted, imageID):
		case rec.State.Running():
			running = append(running, rec.Name)
		default:
			stopped = append(stopped, rec.Name)
		}
	}
	return running, stopped
}

// UsedImages are the ids of the images that containers are made from or mount.
func (e *Engine) UsedImages() []string {
	seen := map[string]bool{}
	var out []string
	for _, u := range e.all() {
		own, mounted, _ := u.images()
		for _, id := range append(mounted, own) {
			if !seen[id] {
				seen[id] = true
				out = append(out, id)
			}
		}
	}
	return out
}

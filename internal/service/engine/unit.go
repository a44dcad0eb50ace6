package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lus/internal/model/container"
	"lus/internal/model/event"
	"lus/internal/model/task"
	"lus/internal/service/engine/internal/mounts"
)

// unit is one container: its record and what only lives in memory.
type unit struct {
	id string
	// op is held by whoever starts, removes, renames or reconnects it. Stopping
	// does not hold it, so that it can be killed meanwhile.
	op sync.Mutex
	// made: it is whole, and to be seen.
	made atomic.Bool

	mu sync.Mutex // guards what follows
	// rec is the record. What its pointers and maps lead to is never changed in
	// place but replaced, so a copy of it can be read without the lock.
	rec        container.Container
	mounts     []mounts.Mount
	gen        uint64 // of the current or last run
	wasStarted bool
	run        *run          // the current run, or the next where none is under way
	cleaning   chan struct{} // of the former run: closed when it is cleaned up; nil: there was none
	removing   bool
	gone       chan struct{} // closed when it is removed
	last       container.Exit

	ending    bool // its end is being dealt with
	removed   bool
	launching bool
	sent      []int        // signals on their way, of which nobody was told yet
	killed    *run         // the run that is being killed, if it is still that one
	begun     bool         // the start under way has come so far that its process may run
	begunNow  bool         // that was in this boot of the machine, when another daemon wrote it
	early     *task.Status // an exit that came while launching

	restarts restartState
	probe    *probe
	execs    map[string]*execution
	readers  sync.WaitGroup // followers of its output
	hidden   []*volumeEntry // volumes of its own that it took along
	held     undo           // gives back the volumes that its run has mounted
	netns    *namespace     // made for the start that comes next
	unused   *time.Timer    // gives it up
}

// run is one life of the process: from its start to its end.
type run struct {
	started chan struct{} // closed when it runs
	ended   chan struct{} // closed when it ended, or could not be started
	exit    container.Exit
	cleaned chan struct{} // closed when all it had was given back
	// attached counts who reads its output; added to under the unit's lock, and
	// no longer once it ended.
	attached sync.WaitGroup
}

func newRun() *run {
	return &run{started: make(chan struct{}), ended: make(chan struct{}), cleaned: make(chan struct{})}
}

// awaitEnd returns when the run has ended, or ctx has.
func (r *run) awaitEnd(ctx context.Context) {
	select {
	case <-r.ended:
	case <-ctx.Done():
	}
}

func newUnit(rec *container.Container, ms []mounts.Mount) *unit {
	return &unit{
		id: rec.ID, rec: *rec, mounts: ms, run: newRun(), gone: make(chan struct{}),
		last:  container.Exit{Code: rec.State.ExitCode, OOMKilled: rec.State.OOMKilled, At: rec.State.FinishedAt, Err: rec.State.Error},
		execs: map[string]*execution{},
	}
}

// snapshot is the record as it is now.
func (u *unit) snapshot() container.Container {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rec
}

// full is the record as inspect shows it.
func (u *unit) full() *container.Container {
	u.mu.Lock()
	defer u.mu.Unlock()
	rec := u.rec
	rec.ExecIDs = slices.Sorted(maps.Keys(u.execs))
	return &rec
}

func (u *unit) row() row {
	u.mu.Lock()
	defer u.mu.Unlock()
	return row{Container: u.rec, Mounts: u.mounts, Generation: u.gen, Started: u.wasStarted, Begun: u.begun}
}

func (u *unit) active() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.launching || u.rec.State.Running()
}

// over reports whether the run has ended, or is about to give back what it has:
// what it is given now nobody else takes back.
func (u *unit) over(r *run) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.run != r || u.ending
}

func (u *unit) forgotten() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.removed
}

// starting is the record, and whether a start is under way.
func (u *unit) starting() (container.Container, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rec, u.launching
}

func (u *unit) autoRemove() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rec.HostConfig.AutoRemove
}

// change edits the record.
func (e *Engine) change(u *unit, fn func(*container.Container)) {
	u.edit(fn)
	e.records.touch(u)
}

func (u *unit) edit(fn func(*container.Container)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fn(&u.rec)
}

// endpoint replaces one endpoint of the record by an edited copy.
func endpoint(rec *container.Container, name string, fn func(*container.Endpoint)) {
	old := rec.Networks[name]
	if old == nil {
		return
	}
	ep := *old
	fn(&ep)
	rec.Networks = maps.Clone(rec.Networks)
	rec.Networks[name] = &ep
}

// tell publishes an event about a container.
func (e *Engine) tell(rec *container.Container, action string, more ...string) {
	attr := maps.Clone(rec.Config.Labels)
	if attr == nil {
		attr = map[string]string{}
	}
	attr["image"] = rec.Config.Image
	attr["name"] = rec.Name
	for i := 0; i+1 < len(more); i += 2 {
		attr[more[i]] = more[i+1]
	}
	e.events.Publish(event.New("container", action, rec.ID, attr, e.Now()))
}

// tellOf tells of a container as it is now.
func (e *Engine) tellOf(u *unit, action string, more ...string) {
	rec := u.snapshot()
	e.tell(&rec, action, more...)
}

func (e *Engine) all() []*unit {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return slices.Collect(maps.Values(e.units))
}

func (e *Engine) unitByID(id string) *unit {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.units[id]
}

package network

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lus/internal/linux/network/internal/rtnl"
)

const (
	// quiet is how long no container may have been attached before cables are
	// removed: the kernel holds its lock while it waits for readers, and a
	// start would wait with it. patience bounds that.
	quiet    = 25 * time.Millisecond
	patience = 400 * time.Millisecond
	// recheck is how often, at most, activity makes us look whether the table
	// still stands and who else drops forwarded traffic: the old iptables tells
	// nobody of its changes.
	recheck = 30 * time.Second
)

// job is one thing to clean up: a cable by name, or an address.
type job struct {
	cable string
	pool  *pool
	ip    netip.Addr
}

// worker does what may wait, in one goroutine.
type worker struct {
	m      *Manager
	stopCh chan struct{}
	done   sync.WaitGroup
	active atomic.Int64 // when a container was attached last
	looked atomic.Int64 // when the surroundings were looked at last

	mu      sync.Mutex
	queue   []job
	busy    bool
	hurry   bool
	stopped bool
	wake    chan struct{} // holds at most one
	idle    *sync.Cond
}

func newWorker(m *Manager) *worker {
	w := &worker{m: m, stopCh: make(chan struct{}), wake: make(chan struct{}, 1)}
	w.idle = sync.NewCond(&w.mu)
	w.looked.Store(time.Now().UnixNano())
	w.done.Add(3)
	go w.run()
	go w.watch()
	go w.watchRules()
	return w
}

func (w *worker) add(j job) {
	w.mu.Lock()
	w.queue = append(w.queue, j)
	w.mu.Unlock()
	w.signal()
}

func (w *worker) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// touch notes that a container is being attached.
func (w *worker) touch() {
	now := time.Now().UnixNano()
	w.active.Store(now)
	if now-w.looked.Load() > int64(recheck) {
		w.signal()
	}
}

// settle waits until nothing is left to do, without the usual delay.
func (w *worker) settle(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.idle.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for (len(w.queue) > 0 || w.busy) && ctx.Err() == nil {
		w.hurry = true
		w.signal()
		w.idle.Wait()
	}
	return ctx.Err()
}

// stop does what is left and ends the goroutines.
func (w *worker) stop() {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return
	}
	w.stopped = true
	w.mu.Unlock()
	close(w.stopCh)
	w.done.Wait()
}

func (w *worker) run() {
	defer w.done.Done()
	for {
		stopping := false
		select {
		case <-w.wake:
		case <-w.stopCh:
			stopping = true
		}
		if !stopping {
			w.lookAround()
			stopping = !w.waitForQuiet()
		}
		w.mu.Lock()
		jobs := w.queue
		w.queue, w.busy, w.hurry = nil, true, false
		w.mu.Unlock()
		w.clean(jobs)
		w.mu.Lock()
		w.busy = false
		again := len(w.queue) > 0
		w.idle.Broadcast()
		w.mu.Unlock()
		if stopping && !again {
			return
		}
		if again {
			w.signal()
		}
	}
}

// waitForQuiet delays while containers are being attached; false: stop.
func (w *worker) waitForQuiet() bool {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		w.mu.Lock()
		now := w.hurry || len(w.queue) == 0
		w.mu.Unlock()
		if now || time.Since(time.Unix(0, w.active.Load())) > quiet {
			return true
		}
		select {
		case <-w.stopCh:
			return false
		case <-w.wake: // hurry may have come
		case <-time.After(quiet / 2):
		}
	}
	return true
}

// deleteGroup numbers the group that cables are put into to be removed at once.
const deleteGroup = 0x4c75734c

func (w *worker) clean(jobs []job) {
	var cables []string
	for _, j := range jobs {
		if j.cable != "" {
			cables = append(cables, j.cable)
		}
	}
	w.m.deleteCables(cables)
	for _, j := range jobs {
		if j.pool == nil {
			continue
		}
		if err := w.m.ct.flushAddress(j.ip); err != nil {
			w.m.log.Warn("flushing connections of a released address", "ip", j.ip, "err", err)
		}
		w.m.mu.Lock()
		delete(j.pool.leaving, j.ip)
		w.m.mu.Unlock()
	}
}

// deleteCables removes interfaces. Those whose namespace has died are gone
// already, which is the usual case and costs nothing.
func (m *Manager) deleteCables(names []string) {
	if len(names) == 0 {
		return
	}
	if len(names) > 1 {
		there := 0
		for _, n := range names {
			if m.slow.Do(rtnl.SetGroup(n, deleteGroup)) == nil {
				there++
			}
		}
		if there == 0 {
			return
		}
		if err := m.slow.Do(rtnl.DeleteGroup(deleteGroup)); err == nil || errors.Is(err, syscall.ENODEV) {
			return
		}
	}
	for _, n := range names {
		if err := m.slow.Do(rtnl.Delete(n)); err != nil && !errors.Is(err, syscall.ENODEV) && !errors.Is(err, os.ErrClosed) {
			m.log.Warn("removing a container's interface", "interface", n, "err", err)
		}
	}
}

// lookAround checks, when somebody changed the rules or now and then when there
// is activity, that the table still stands and that no foreign rule set has
// come up.
func (w *worker) lookAround() {
	last := w.looked.Load()
	if time.Now().UnixNano()-last < int64(recheck) {
		return
	}
	w.looked.Store(time.Now().UnixNano())
	vanished, err := w.m.fw.check()
	if err != nil {
		w.m.log.Warn("checking the nftables table", "err", err)
	} else if vanished {
		w.m.log.Warn("the nftables table had vanished and was made again; somebody flushed the rule set")
	}
	for _, name := range w.m.fw.bridges() {
		w.m.recheckForeign(name)
	}
}

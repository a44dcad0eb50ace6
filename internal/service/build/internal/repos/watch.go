package repos

import (
	"context"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/stall"
)

const (
	// looks is how many times it is looked at git within the limit.
	looks = 8
	// idle is the share of a processor, one in so many, up to which git is said to
	// wait: it looks at its connections some times a second.
	idle = 20
	// grace is how long git may take to end when it is told to.
	grace = 10 * time.Second
)

// watch looks at each git that this process runs as long as somebody needs it, and
// ends those whose server has neither sent nor taken a byte for so long as limit.
// It looks from outside, as git knows of no such limit for git:// and for the
// greetings of TLS.
type watch struct {
	limit time.Duration

	mu    sync.Mutex
	users int
	stop  context.CancelFunc
	ended chan struct{}
}

// begin has git watched until end is called.
func (w *watch) begin() (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.users++; w.users == 1 {
		var ctx context.Context
		ctx, w.stop = context.WithCancel(context.Background())
		w.ended = make(chan struct{})
		go w.run(ctx, w.ended)
	}
	return w.end
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.users--; w.users == 0 {
		w.stop()
		<-w.ended
	}
}

func (w *watch) run(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	every := max(w.limit/looks, time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	known := map[process]*command{}
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			// While we ourselves or the machine stood still, no time passes.
			passed := min(now.Sub(last), 2*every)
			last = now
			known = w.look(known, passed)
		}
	}
}

// command is what is known of a git that was started here.
type command struct {
	seen  group
	still time.Duration // so long it has been waiting, or for its end
	told  bool          // to end
}

// look looks at every git once, and returns what is known of them then.
func (w *watch) look(known map[process]*command, passed time.Duration) map[process]*command {
	there := map[process]*command{}
	for _, p := range children(os.Getpid()) {
		if p.name != "git" {
			continue
		}
		seen := groupOf(p)
		c := known[p.process]
		switch {
		case c == nil:
			c = &command{seen: seen}
		case c.told || seen.waits(c.seen, passed):
			c.still += passed
		default:
			c.still = 0
		}
		c.seen = seen
		there[p.process] = c
		switch {
		case c.told && c.still >= grace:
			_ = unix.Kill(-p.pid, unix.SIGKILL) // it may have ended
		case !c.told && c.still >= w.limit:
			c.told, c.still = true, 0
			giveUp(p.pid, w.limit)
		}
	}
	return there
}

// giveUp ends a git with its helpers, and says why where it says what it meets.
func giveUp(pid int, limit time.Duration) {
	if said, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", pid), os.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0); err == nil {
		_, _ = fmt.Fprintf(said, "fatal: %v for %v\n", stall.Err, limit) // it may have ended
		_ = said.Close()
	}
	_ = unix.Kill(-pid, unix.SIGTERM)
}

// group is what a git and its helpers do, at one moment.
type group struct {
	processes map[process]bool
	traffic   map[uint64]uint64 // bytes, by connection
	spent     time.Duration     // of processors
	busy      bool
}

// waits reports whether nothing came or went since a look so long ago, while
// nothing was to be done here.
func (g group) waits(before group, passed time.Duration) bool {
	return !g.busy && len(g.traffic) > 0 &&
		g.spent-before.spent <= max(passed/idle, jiffy) &&
		maps.Equal(g.traffic, before.traffic) && maps.Equal(g.processes, before.processes)
}

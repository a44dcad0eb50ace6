package executor

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/task"
)

// exits hands each end of a process to whoever waits for it. One goroutine
// watches the runtime.
type exits struct {
	runtime Runtime
	log     *slog.Logger
	cancel  context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex
	waiting map[task.Key]chan result
	closed  bool
}

// result is how a process ended, or why nobody can know.
type result struct {
	exit task.Exit
	err  error
}

func watch(r Runtime, log *slog.Logger) *exits {
	ctx, cancel := context.WithCancel(context.Background())
	x := &exits{runtime: r, log: log, cancel: cancel, done: make(chan struct{}), waiting: map[task.Key]chan result{}}
	go func() {
		defer close(x.done)
		x.watch(ctx)
	}()
	return x
}

// watch follows the runtime until ctx ends, again and again: the keeper may be
// replaced in between, and exits that nobody saw come first when it is back.
func (x *exits) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := x.runtime.Watch(ctx, func(st task.Status) { x.deliver(ctx, st) })
		if ctx.Err() != nil {
			return
		}
		x.log.Warn("watching for the ends of build steps: trying again", "err", err)
		if err != nil {
			// Whoever waits would wait for ever should this not pass.
			x.failAll(errs.New(errs.Unavailable, "the end of the step cannot be known: %w", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// deliver hands the exit over and acknowledges it. What belongs to a build but
// has nobody waiting is acknowledged too: its step is over.
func (x *exits) deliver(ctx context.Context, st task.Status) {
	if !strings.HasPrefix(st.Container, Prefix) || st.Exit == nil {
		return
	}
	x.mu.Lock()
	ch := x.waiting[st.Key]
	delete(x.waiting, st.Key)
	x.mu.Unlock()
	if ch != nil {
		ch <- result{exit: *st.Exit}
	}
	if err := x.runtime.Ack(ctx, st.Key, st.Generation); err != nil && !errs.Is(err, errs.NotFound) {
		x.log.Warn("acknowledging the end of a build step", "container", st.Container, "err", err)
	}
}

// expect must be called before the process can exist.
func (x *exits) expect(k task.Key) <-chan result {
	ch := make(chan result, 1)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		ch <- result{err: errClosed()}
		return ch
	}
	x.waiting[k] = ch
	return ch
}

func (x *exits) forget(k task.Key) {
	x.mu.Lock()
	delete(x.waiting, k)
	x.mu.Unlock()
}

func (x *exits) close() {
	x.cancel()
	<-x.done
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.failAll(errClosed())
}

// failAll tells everybody who waits that they wait in vain.
func (x *exits) failAll(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for k, ch := range x.waiting {
		ch <- result{err: err}
		delete(x.waiting, k)
	}
}

func errClosed() error { return errs.New(errs.Unavailable, "the builder is stopping") }

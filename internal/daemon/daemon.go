package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/footprint"
)

// daemon is everything that was built, in the order it was built.
type daemon struct {
	log     *slog.Logger
	handler http.Handler
	ready   func(context.Context) // returns once requests may be answered
	runners []runner
	closers []closer
	// onTidied has a function called whenever the records were tidied up.
	onTidied func(func())
}

// runner is a part that runs until its context ends.
type runner struct {
	name string
	run  func(context.Context) error
}

// closer gives back what a part holds.
type closer struct {
	name  string
	close func() error
}

func (d *daemon) runs(name string, run func(context.Context) error) {
	d.runners = append(d.runners, runner{name, run})
}

func (d *daemon) closes(name string, close func() error) {
	d.closers = append(d.closers, closer{name, close})
}

// close gives back everything, what was built last first.
func (d *daemon) close() error {
	var failed []error
	for _, c := range slices.Backward(d.closers) {
		if err := c.close(); err != nil {
			failed = append(failed, fmt.Errorf("closing %s: %w", c.name, err))
		}
	}
	d.closers = nil
	return errors.Join(failed...)
}

// grace is how long requests may go on once the daemon is told to stop.
const grace = 5 * time.Second

// run serves until ctx ends or a part fails. What started last stops first:
// the requests, then the parts in reverse, each before the one it stands on.
func (d *daemon) run(ctx context.Context, ln net.Listener) error {
	failed := make(chan error, len(d.runners)+1)
	var stops []func()
	for _, r := range d.runners {
		stops = append(stops, d.start(r, failed))
	}
	d.ready(ctx)
	requests, cancelRequests := context.WithCancel(context.Background())
	defer cancelRequests()
	rest := footprint.NewRest()
	defer rest.Stop()
	d.onTidied(rest.Touch) // the records are tidied up last
	srv := &http.Server{
		Handler:           touching(d.handler, rest),
		ReadHeaderTimeout: 30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving requests: %w", err)
		}
	})
	d.log.Info("ready", "socket", ln.Addr().String(), "pid", os.Getpid())
	var err error
	select {
	case <-ctx.Done():
		d.log.Info("stopping")
	case err = <-failed:
	}
	// Streams that follow something end with their context; others may finish.
	stopping, cancel := context.WithTimeout(context.Background(), grace)
	cancelRequests()
	_ = srv.Shutdown(stopping)
	_ = srv.Close()
	cancel()
	serving.Wait()
	for _, stop := range slices.Backward(stops) {
		stop()
	}
	return errors.Join(err, d.close())
}

// touching notes the begin and the end of each request.
func touching(h http.Handler, rest *footprint.Rest) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest.Touch()
		defer rest.Touch()
		h.ServeHTTP(w, r)
	})
}

// start runs a part and returns what stops it and waits for its end.
func (d *daemon) start(r runner, failed chan<- error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.run(ctx); err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("%s: %w", r.name, err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// program finds one of our programs beside this one.
func program(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), name)
	if err := unix.Access(path, unix.X_OK); err != nil {
		return "", fmt.Errorf("the program %s is missing: install it beside lusd (%w)", path, err)
	}
	return path, nil
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/task"
)

const defaultStopTimeout = 10 // seconds

// StopContainer sends the stop signal and kills what is still there when the
// time is over.
func (e *Engine) StopContainer(ctx context.Context, name, sig string, timeout *int) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	if rec := u.snapshot(); !rec.State.Running() && rec.State.Status != container.Restarting {
		return errs.New(errs.NotModified, "container %s is not running", name)
	}
	if err := e.halt(ctx, u, sig, timeout); err != nil {
		return err
	}
	rec := u.snapshot()
	e.tell(&rec, "stop")
	return nil
}

// halt stops a container and returns once it has ended.
func (e *Engine) halt(ctx context.Context, u *unit, sig string, timeout *int) error {
	rec := u.snapshot()
	if sig == "" {
		sig = rec.Config.StopSignal
	}
	number := unix.SIGTERM
	if sig != "" {
		var err error
		if number, err = parseSignal(sig); err != nil {
			return err
		}
	}
	seconds := defaultStopTimeout
	if rec.Config.StopTimeout != nil {
		seconds = *rec.Config.StopTimeout
	}
	if timeout != nil {
		seconds = *timeout
	}
	r := e.wantStopped(u)
	if r == nil {
		return nil
	}
	// A process that is about to be hears nothing yet.
	select {
	case <-r.started:
	case <-r.ended:
	case <-u.gone:
		return nil // removed instead
	case <-ctx.Done():
		return ctx.Err()
	}
	why := unheard(&rec, number)
	if err := e.signal(ctx, u, int(number)); err != nil {
		return err
	}
	if err := e.letHear(ctx, u, r); err != nil {
		return err
	}
	var late <-chan time.Time
	if seconds >= 0 {
		t := time.NewTimer(time.Duration(seconds) * time.Second)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-r.ended:
		return nil
	case <-late:
	case <-ctx.Done():
		return ctx.Err()
	}
	if seconds > 0 {
		e.change(u, func(rec *container.Container) {
			rec.StopNote = fmt.Sprintf("container %s was killed after its whole grace period of %d s: %s", rec.Name, seconds, why)
		})
	}
	return e.kill(ctx, u, r)
}

// letHear lets a frozen container go on after a signal was sent: it hears that
// first, and one that is killed does nothing more.
func (e *Engine) letHear(ctx context.Context, u *unit, r *run) error {
	if u.snapshot().State.Status != container.Paused {
		return nil
	}
	err := e.resumeFrozen(ctx, u)
	select {
	case <-r.ended: // some kernels do not keep a killed process frozen
		return nil
	default:
		return err
	}
}

// unheard tells why a signal may not end the container, as its first process is
// before it is sent. The kernel keeps signals without a handler from the first
// process of a namespace.
func unheard(rec *container.Container, sig unix.Signal) string {
	dir := "/proc/" + strconv.Itoa(rec.State.Pid)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return "it did not end"
	}
	name := unix.SignalName(sig)
	process := "its first process"
	has := func(set string) bool {
		_, rest, _ := strings.Cut(string(status), "\n"+set+":")
		line, _, _ := strings.Cut(rest, "\n")
		mask, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
		return err == nil && mask>>(sig-1)&1 == 1
	}
	if first, _, _ := strings.Cut(string(status), "\n"); first != "" {
		process += " (" + strings.TrimSpace(strings.TrimPrefix(first, "Name:")) + ")"
	}
	switch {
	case has("SigCgt"):
		return process + " has a handler for " + name + " and did not end"
	case has("SigIgn"):
		return process + " ignores " + name + "; name a signal that ends it (stop_signal, --stop-signal)"
	}
	return process + " has no handler for " + name + ", which the kernel then keeps from a container's first process; start it below an init (init: true, --init), or name a signal that it handles (stop_signal, --stop-signal)"
}

// kill ends the run at once and waits for it.
func (e *Engine) kill(ctx context.Context, u *unit, r *run) error {
	u.mu.Lock()
	u.killed = r
	u.mu.Unlock()
	if err := e.signal(ctx, u, int(unix.SIGKILL)); err != nil {
		return err
	}
	if err := e.letHear(ctx, u, r); err != nil {
		return err
	}
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wantStopped notes that the container is to stay stopped, and returns the run
// under way; nil where there is none any more.
func (e *Engine) wantStopped(u *unit) *run {
	u.mu.Lock()
	pending := u.restarts.pending
	if pending != nil {
		close(pending)
		u.restarts.pending = nil
	}
	u.rec.ManuallyStopped = true
	var r *run
	switch {
	case u.rec.State.Running() || u.launching:
		u.restarts.stopped = true
		r = u.run
	case u.rec.State.Status == container.Restarting:
		u.rec.State.Status = container.Exited
		// Who waits for the end of the next run waits for one that does not come.
		off := u.run
		off.exit = u.last
		u.run = newRun()
		close(off.ended)
	}
	u.mu.Unlock()
	e.records.touch(u)
	return r
}

// signal sends a signal and tells of it. A process that has ended needs none.
func (e *Engine) signal(ctx context.Context, u *unit, sig int) error {
	u.mu.Lock()
	u.sent = append(u.sent, sig)
	u.mu.Unlock()
	err := e.Runtime.Signal(ctx, task.Key{Container: u.id}, sig)
	u.mu.Lock()
	defer u.mu.Unlock()
	i := slices.Index(u.sent, sig)
	if i >= 0 {
		u.sent = slices.Delete(u.sent, i, i+1)
	}
	switch {
	case errs.Is(err, errs.NotFound):
		return nil
	case err == nil && i >= 0: // else the end has told of it
		e.tellKill(&u.rec, sig)
	}
	return err
}

func (e *Engine) tellKill(rec *container.Container, sig int) {
	e.tell(rec, "kill", "signal", strconv.Itoa(sig))
}

// KillContainer sends a signal (SIGKILL where empty) to the container's first process.
func (e *Engine) KillContainer(ctx context.Context, name, sig string) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	number := unix.SIGKILL
	if sig != "" {
		if number, err = parseSignal(sig); err != nil {
			return err
		}
	}
	rec, r := u.currentRun()
	if !rec.State.Running() {
		if rec.State.Status == container.Restarting && number == unix.SIGKILL {
			e.wantStopped(u)
			e.tell(&rec, "kill", "signal", strconv.Itoa(int(number)))
			return nil
		}
		return errs.New(errs.Conflict, "cannot kill container: %s: container %s is not running", name, rec.ID)
	}
	e.noteKill(u, &rec, number)
	if number == unix.SIGKILL {
		return e.kill(ctx, u, r)
	}
	return e.signal(ctx, u, int(number))
}

// noteKill: a container that is killed by hand, or sent its stop signal, is to
// stay stopped; any other signal is only between the user and the process.
func (e *Engine) noteKill(u *unit, rec *container.Container, sig unix.Signal) {
	stop := unix.SIGTERM
	if s, err := parseSignal(rec.Config.StopSignal); err == nil {
		stop = s
	}
	u.mu.Lock()
	if sig == unix.SIGKILL || sig == stop {
		u.rec.ManuallyStopped = true
		u.restarts.stopped = true
	}
	u.mu.Unlock()
	e.records.touch(u)
}

// currentRun is the record and the run that it tells of: taken apart, the run
// could be the next one, whose end nobody brings about.
func (u *unit) currentRun() (container.Container, *run) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rec, u.run
}

func parseSignal(s string) (unix.Signal, error) {
	n, err := signal.ParseSignal(strings.TrimSpace(s))
	if err != nil || !signal.ValidSignalForPlatform(n) {
		return 0, errs.New(errs.Invalid, "Invalid signal: %s", s)
	}
	return n, nil
}

// RestartContainer stops the container, where it runs, and starts it.
func (e *Engine) RestartContainer(ctx context.Context, name, sig string, timeout *int) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	if rec := u.snapshot(); rec.HostConfig.AutoRemove && rec.State.Running() {
		return e.restartKept(ctx, u, sig, timeout)
	}
	if err := e.halt(ctx, u, sig, timeout); err != nil {
		return err
	}
	err = e.StartContainer(ctx, u.id)
	if errs.Is(err, errs.NotModified) {
		err = nil // somebody else did
	}
	if err != nil {
		return err
	}
	rec := u.snapshot()
	e.tell(&rec, "restart")
	return nil
}

// restartKept restarts a container that would be removed by its end. The end of
// its next run removes it again.
func (e *Engine) restartKept(ctx context.Context, u *unit, sig string, timeout *int) error {
	set := func(v bool) {
		e.change(u, func(rec *container.Container) {
			h := *rec.HostConfig
			h.AutoRemove = v
			rec.HostConfig = &h
		})
	}
	set(false)
	err := e.halt(ctx, u, sig, timeout)
	set(true)
	if err != nil {
		return err
	}
	if err := e.StartContainer(ctx, u.id); err != nil && !errs.Is(err, errs.NotModified) {
		gone := e.RemoveContainer(ctx, u.id, container.RemoveOptions{Force: true, Volumes: true})
		if errs.Is(gone, errs.NotFound) {
			gone = nil // by the start that failed
		}
		return errors.Join(err, gone)
	}
	rec := u.snapshot()
	e.tell(&rec, "restart")
	return nil
}

// PauseContainer freezes the container's processes.
func (e *Engine) PauseContainer(ctx context.Context, name string) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	u.op.Lock()
	defer u.op.Unlock()
	rec := u.snapshot()
	switch {
	case rec.State.Status == container.Paused:
		return errs.New(errs.Conflict, "container %s is already paused", rec.ID)
	case rec.State.Status == container.Restarting:
		return errs.New(errs.Conflict, "container %s is restarting, wait until the container is running", rec.ID)
	case !rec.State.Running():
		return errs.New(errs.Conflict, "container %s is not running", rec.ID)
	}
	if err := e.Runtime.Pause(ctx, u.id); err != nil {
		return err
	}
	e.change(u, func(rec *container.Container) {
		if rec.State.Status == container.Running {
			rec.State.Status = container.Paused
		}
	})
	e.tell(&rec, "pause")
	u.mu.Lock()
	r := u.run
	doomed := u.killed == r
	u.mu.Unlock()
	if doomed { // while it was being frozen: nobody else lets it go to its end
		return e.letHear(ctx, u, r)
	}
	return nil
}

// UnpauseContainer lets the container's processes go on.
func (e *Engine) UnpauseContainer(ctx context.Context, name string) error {
	u, err := e.find(name)
	if err != nil {
		return err
	}
	u.op.Lock()
	defer u.op.Unlock()
	if rec := u.snapshot(); rec.State.Status != container.Paused {
		return errs.New(errs.Conflict, "Container %s is not paused", rec.ID)
	}
	return e.resumeFrozen(ctx, u)
}

func (e *Engine) resumeFrozen(ctx context.Context, u *unit) error {
	if err := e.Runtime.Resume(ctx, u.id); err != nil {
		return err
	}
	e.change(u, func(rec *container.Container) {
		if rec.State.Status == container.Paused {
			rec.State.Status = container.Running
		}
	})
	rec := u.snapshot()
	e.tell(&rec, "unpause")
	return nil
}

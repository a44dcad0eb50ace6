package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/container"
)

// The healthcheck's defaults and bounds, as in Docker.
const (
	defaultInterval      = 30 * time.Second
	defaultTimeout       = 30 * time.Second
	defaultStartInterval = 5 * time.Second
	defaultRetries       = 3
	healthLog            = 5
	healthOutput         = 4096
)

// probe is the healthcheck of one run.
type probe struct {
	cancel context.CancelFunc
}

// probes reports whether the container has a healthcheck.
func probes(c *container.Config) bool {
	return c.Healthcheck != nil && len(c.Healthcheck.Test) > 0 && c.Healthcheck.Test[0] != "NONE"
}

// probeCommand is what to run.
func probeCommand(c *container.Config) []string {
	test := c.Healthcheck.Test
	if test[0] == "CMD" {
		return test[1:]
	}
	shell := c.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), test[1])
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// startProbe begins to probe a container that has just been started or adopted.
func (e *Engine) startProbe(u *unit, r *run) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !probes(u.rec.Config) || u.run != r || !u.rec.State.Running() || u.probe != nil {
		return
	}
	ctx, cancel := context.WithCancel(e.life)
	u.probe = &probe{cancel: cancel}
	e.probing.Go(func() { e.probe(ctx, u) })
}

// stopProbe ends the probing; called with the lock held.
func (u *unit) stopProbe() {
	if u.probe != nil {
		u.probe.cancel()
		u.probe = nil
	}
}

// probe asks again and again until ctx ends, with the run.
func (e *Engine) probe(ctx context.Context, u *unit) {
	for {
		rec := u.snapshot()
		t := time.NewTimer(pause(&rec, e.Now()))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		if rec = u.snapshot(); rec.State.Status == container.Paused {
			continue // it could not answer
		}
		res := e.ask(ctx, u, &rec)
		if ctx.Err() != nil {
			return
		}
		e.judge(ctx, u, res)
	}
}

// pause is how long to wait before the next probe: shorter while starting.
func pause(rec *container.Container, now time.Time) time.Duration {
	hc := rec.Config.Healthcheck
	if starting(rec, now) {
		return or(hc.StartInterval, defaultStartInterval)
	}
	return or(hc.Interval, defaultInterval)
}

// starting reports whether failures do not count yet.
func starting(rec *container.Container, at time.Time) bool {
	h := rec.State.Health
	return h != nil && h.Status == container.Starting && at.Sub(rec.State.StartedAt) < rec.Config.Healthcheck.StartPeriod
}

// ask runs the probe once.
func (e *Engine) ask(ctx context.Context, u *unit, rec *container.Container) container.HealthResult {
	timeout := or(rec.Config.Healthcheck.Timeout, defaultTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	res := container.HealthResult{Start: e.Now()}
	x := &execution{unit: u, id: ids.New(), gen: uint64(e.Now().UnixNano()), started: true, ended: make(chan struct{}), cfg: container.ExecConfig{
		Cmd: probeCommand(rec.Config), AttachStdout: true, AttachStderr: true,
	}}
	e.mu.Lock()
	e.execs[x.id] = x
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.execs, x.id)
		e.mu.Unlock()
	}()
	s, err := e.runExec(ctx, x, rec, false, nil)
	exceeded := fmt.Sprintf("Health check exceeded timeout (%v)", timeout)
	if err != nil {
		e.execFailed(x, err)
		res.End, res.ExitCode, res.Output = e.Now(), -1, err.Error()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			res.Output = exceeded
		}
		return res
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Detach() })
	defer stop()
	res.Output = firstOutput(s.Out)
	select {
	case <-x.ended:
		res.ExitCode = *x.code
	case <-ctx.Done():
		e.killProbe(x)
		res.ExitCode = -1
		if res.Output = exceeded; errors.Is(ctx.Err(), context.Canceled) {
			res.Output = "the container ended"
		}
	}
	_ = s.Detach() // only lets go
	res.End = e.Now()
	return res
}

// killProbe ends a probe that takes too long, and waits for its end.
func (e *Engine) killProbe(x *execution) {
	err := e.Runtime.Signal(context.Background(), x.key(), 9)
	if err != nil && !errs.Is(err, errs.NotFound) {
		e.Log.Warn("killing a healthcheck", "id", ids.Short(x.unit.id), "err", err)
		return
	}
	select {
	case <-x.ended:
	case <-e.life.Done():
	case <-time.After(time.Second): // the container's own end, told first, took it along
	}
}

// firstOutput reads to the end and keeps the beginning.
func firstOutput(r container.LogReader) string {
	var out []byte
	for {
		rec, err := r.Next()
		if room := healthOutput - len(out); room > 0 {
			out = append(out, rec.Data[:min(room, len(rec.Data))]...)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				out = append(out, err.Error()...)
			}
			return string(out)
		}
	}
}

// judge writes a probe's outcome into the record, and tells where the verdict
// changed. ctx is the probed run's: of the next one it says nothing.
func (e *Engine) judge(ctx context.Context, u *unit, res container.HealthResult) {
	var before, after string
	var rec container.Container
	u.mu.Lock()
	if u.rec.State.Health == nil || !u.rec.State.Running() || ctx.Err() != nil {
		u.mu.Unlock()
		return
	}
	before = u.rec.State.Health.Status
	h := verdict(&u.rec, res)
	u.rec.State.Health = h
	after = h.Status
	rec = u.rec
	u.mu.Unlock()
	e.records.touch(u)
	if before != after {
		e.tellReady(e.life, u)
		e.tell(&rec, "health_status: "+after)
		if after == container.Unhealthy && restartsUnhealthy(&rec) {
			// Not here: the restart ends this probe, and waits for that.
			e.deferred.do(func() { e.restartUnhealthy(u) })
		}
	}
}

// restartsUnhealthy reports whether the container asks to be restarted when it
// becomes unhealthy.
func restartsUnhealthy(rec *container.Container) bool {
	return yes(rec.HostConfig.Annotations[container.RestartUnhealthy]) || yes(rec.Config.Labels[container.RestartUnhealthy])
}

// restartUnhealthy restarts it, unless somebody stopped it meanwhile.
func (e *Engine) restartUnhealthy(u *unit) {
	rec := u.snapshot()
	if !rec.State.Running() || rec.State.Health == nil || rec.State.Health.Status != container.Unhealthy {
		return
	}
	e.Log.Info("restarting an unhealthy container", "container", rec.Name, "id", ids.Short(rec.ID))
	if err := e.RestartContainer(e.life, u.id, "", nil); err != nil && e.life.Err() == nil {
		e.Log.Error("restarting an unhealthy container", "container", rec.Name, "err", err)
	}
}

// verdict is a container's health after one more result.
func verdict(rec *container.Container, res container.HealthResult) *container.Health {
	h := *rec.State.Health
	h.Log = append(slices.Clone(h.Log), res)
	if len(h.Log) > healthLog {
		h.Log = h.Log[len(h.Log)-healthLog:]
	}
	retries := rec.Config.Healthcheck.Retries
	if retries == 0 {
		retries = defaultRetries
	}
	switch {
	case res.ExitCode == 0:
		h.FailingStreak, h.Status = 0, container.Healthy
	case starting(rec, res.Start):
		// still coming up
	default:
		if h.FailingStreak++; h.FailingStreak >= retries {
			h.Status = container.Unhealthy
		}
	}
	return &h
}

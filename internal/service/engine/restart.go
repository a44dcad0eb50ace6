package engine

import (
	"time"

	"lus/internal/base/ids"
	"lus/internal/model/container"
)

const (
	firstDelay = 100 * time.Millisecond
	longestGap = time.Minute
	// steady is how long a container must have run for its failures to be forgotten.
	steady = 10 * time.Second
)

// restartState is what a container's restart policy remembers. The unit's lock guards it.
type restartState struct {
	delay   time.Duration // of the last restart
	pending chan struct{} // closed to call off a restart that waits; nil: none does
	stopped bool          // someone is stopping it: this end is wanted
}

// next decides whether a container that ended is started again, and after how
// long; called with the unit's lock held.
func (s *restartState) next(rec *container.Container, ran time.Duration) (bool, time.Duration) {
	wanted := s.stopped
	s.stopped = false
	if wanted || !due(rec) {
		s.delay = 0
		return false, 0
	}
	s.delay = backoff(s.delay, ran)
	return true, s.delay
}

// due reports whether the policy wants another start after the last exit.
func due(rec *container.Container) bool {
	p := rec.HostConfig.RestartPolicy
	switch p.Name {
	case "always":
		return true
	case "unless-stopped":
		return !rec.ManuallyStopped
	case "on-failure":
		return rec.State.ExitCode != 0 && (p.MaximumRetryCount == 0 || rec.RestartCount < p.MaximumRetryCount)
	}
	return false
}

// backoff doubles the delay up to a minute; a container that ran well begins anew.
func backoff(last, ran time.Duration) time.Duration {
	if last == 0 || ran >= steady {
		return firstDelay
	}
	return min(2*last, longestGap)
}

// cancel calls off a restart that waits, and reports whether one did. The
// unit's lock is not held.
func (s *restartState) cancel(u *unit) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s.pending == nil {
		return false
	}
	close(s.pending)
	s.pending = nil
	return true
}

// restartAfter starts the container again once delay is over, unless somebody
// calls it off. It waits in the caller's goroutine.
func (e *Engine) restartAfter(u *unit, delay time.Duration) {
	off := make(chan struct{})
	u.mu.Lock()
	if u.rec.State.Status != container.Restarting || u.removing {
		u.mu.Unlock()
		return
	}
	u.restarts.pending = off
	u.mu.Unlock()
	e.restarting.Go(func() {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
			e.restartNow(u, off)
		case <-off:
		case <-e.life.Done(): // the next daemon goes on
		}
	})
}

func (e *Engine) restartNow(u *unit, off chan struct{}) {
	u.op.Lock()
	defer u.op.Unlock()
	u.mu.Lock()
	if u.restarts.pending != off || u.removing || u.rec.State.Status != container.Restarting {
		u.mu.Unlock()
		return // called off meanwhile, or started by hand
	}
	u.restarts.pending = nil
	u.mu.Unlock()
	if err := e.launch(e.life, u); err != nil && e.life.Err() == nil {
		e.Log.Error("restarting failed", "id", ids.Short(u.id), "err", err)
	}
}

package keeper

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// strangerTime is for how long a child that ended may yet be named by an init,
	// which takes a moment, or as long as another runtime may take to make it.
	strangerTime = 10 * time.Minute
	// sweepTime is how often, at most, those are forgotten that nobody named.
	sweepTime = time.Minute
)

// strangers are children that ended before anybody had named them, kept for as
// long as somebody may.
type strangers struct {
	ended map[int]stranger // by pid
	swept time.Time
}

type stranger struct {
	status unix.WaitStatus
	at     time.Time
}

// note keeps an end. An init that hangs must not make us remember for good: there
// are only so many pids.
func (r *strangers) note(pid int, status unix.WaitStatus, now time.Time) {
	if r.ended == nil {
		r.ended = map[int]stranger{}
	}
	r.ended[pid] = stranger{status, now}
	if now.Sub(r.swept) < sweepTime {
		return
	}
	r.swept = now
	for pid, x := range r.ended {
		if now.Sub(x.at) > strangerTime {
			delete(r.ended, pid)
		}
	}
}

// take tells how the process of that pid ended, where it did. One that is there
// is another, which got the pid of one that ended earlier.
func (r *strangers) take(pid int) (unix.WaitStatus, bool) {
	x, dead := r.ended[pid]
	delete(r.ended, pid)
	return x.status, dead && unix.Kill(pid, 0) != nil
}

// forget drops all: nobody is left who could name one.
func (r *strangers) forget() { r.ended = nil }

package footprint

import "time"

// Rest shrinks the program once nothing has happened for a while.
type Rest struct {
	after time.Duration
	timer *time.Timer
}

// restAfter is how long nothing must have happened.
const restAfter = time.Second

// NewRest returns a Rest whose while begins now.
func NewRest() *Rest { return &Rest{after: restAfter, timer: time.AfterFunc(restAfter, Shrink)} }

// Touch says that something happens.
func (r *Rest) Touch() { r.timer.Reset(r.after) }

// Stop ends it.
func (r *Rest) Stop() { r.timer.Stop() }

package keeper

import (
	"slices"
	"strconv"
	"time"

	"lus/internal/base/errs"
	"lus/internal/store/logs"
)

// sink is where the output of one process goes. When the disk does not take
// it, a sink drops and counts, or holds on to what was read already while the
// process's pipes fill, until it does.
type sink struct {
	log     *logs.Writer
	drop    bool
	dropped int64 // bytes, since the last notice
	pending []chunk
}

type chunk struct {
	At     time.Time `json:"at"`
	Stream byte      `json:"stream"`
	Data   []byte    `json:"data"`
}

// retryTime is how often a full disk is tried again.
const retryTime = 250 * time.Millisecond

func (k *sink) stuck() bool { return k != nil && len(k.pending) > 0 }

// take appends one chunk; false says that the disk is full.
func (k *sink) take(c chunk) bool {
	if k.dropped > 0 {
		notice := strconv.FormatInt(k.dropped, 10) + " bytes were dropped here: the disk was full\n"
		if k.log.Append(c.At, logs.Notice, []byte(notice)) == nil {
			k.dropped = 0
		}
	}
	err := k.log.Append(c.At, logs.Stream(c.Stream), c.Data)
	if err == nil {
		return true
	}
	// A folder that was removed will not come back: waiting for it would stop
	// the process for good.
	if k.drop || errs.Is(err, errs.NotFound) {
		k.dropped += int64(len(c.Data))
		return true
	}
	return false
}

// store appends what was read to the process's log.
func (s *server) store(p *proc, o *output, data []byte) {
	c := chunk{At: time.Now(), Stream: o.stream, Data: data}
	if !p.sink.stuck() && p.sink.take(c) {
		return
	}
	if !p.sink.stuck() {
		s.log.Warn("the log does not take output: its process waits", "process", keyName(p.Key), "log", p.sink.log.Path())
	}
	c.Data = slices.Clone(data)
	p.sink.pending = append(p.sink.pending, c)
	s.block(p)
}

// block stops reading a process's output until its log takes some again.
func (s *server) block(p *proc) {
	for i := range p.outs {
		s.loop.drop(p.outs[i].fd)
	}
	s.blocked[p] = struct{}{}
	if s.retryAt.IsZero() {
		s.retryAt = time.Now().Add(retryTime)
	}
}

// retryBlocked offers the disk again what it did not take.
func (s *server) retryBlocked() {
	s.retryAt = time.Time{}
	for p := range s.blocked {
		for p.sink.stuck() && p.sink.take(p.sink.pending[0]) {
			p.sink.pending = p.sink.pending[1:]
		}
		if p.sink.stuck() {
			continue
		}
		p.sink.pending = nil
		delete(s.blocked, p)
		for i := range p.outs {
			if err := s.watchOutput(p, &p.outs[i]); err != nil {
				s.log.Warn("output is no longer read", "process", keyName(p.Key), "error", err)
			}
		}
	}
	if len(s.blocked) > 0 {
		s.retryAt = time.Now().Add(retryTime)
	}
}

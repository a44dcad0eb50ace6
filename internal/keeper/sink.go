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
	disk  *disk
	drop  bool
	users int   // the process, and a former life of it whose output is still on its way
	lost  int64 // bytes dropped by the loop, not yet told to the log

	// The disk's goroutine's alone.
	log     *logs.Writer
	dropped int64 // bytes, since the last notice

	// Guarded by the disk's lock.
	given   int   // jobs, in all
	waiting int   // those that are not done
	refused []job // those that the disk did not take
	tell    int   // the loop waits for so many to be done; zero: for none
	opened  bool
	openErr error
}

type chunk struct {
	At     time.Time `json:"at"`
	Stream byte      `json:"stream"`
	Data   []byte    `json:"data"`
}

const (
	// retryTime is how often a full disk is tried again.
	retryTime = 250 * time.Millisecond
	// handOver is the size from which a buffer is given to the disk as it is
	// instead of being copied.
	handOver = 16 << 10
	// lateTime is how long the news of an end waits for the last output to be
	// in the log where the disk is full, ...
	lateTime = time.Second
	// ... standTime how long where one write does not come back: on a busy disk
	// it may take seconds, ...
	standTime = 10 * time.Second
	// ... and busyTime where the disk does take output.
	busyTime = 30 * time.Second
)

// do carries out a job, in the disk's goroutine. An error says that the chunk
// must be offered again.
func (k *sink) do(j *job) error {
	switch j.what {
	case nothing:
		return nil
	case openLog:
		return k.log.Open()
	case closeLog:
		k.log.Close()
		return nil
	}
	if k.dropped += j.lost; k.dropped > 0 {
		notice := strconv.FormatInt(k.dropped, 10) + " bytes were dropped here: the disk was full or too slow\n"
		if k.log.Append(j.At, logs.Notice, []byte(notice)) == nil {
			k.dropped = 0
		}
	}
	j.lost = 0
	err := k.log.Append(j.At, logs.Stream(j.Stream), j.Data)
	// A folder that was removed will not come back: waiting for it would stop
	// the process for good.
	if err != nil && (k.drop || errs.Is(err, errs.NotFound)) {
		k.dropped += int64(len(j.Data))
		return nil
	}
	return err
}

// room reports whether output may be read: into the queue, or, where it must
// not wait, to be dropped.
func (k *sink) room() (room, drop bool) {
	k.disk.mu.Lock()
	defer k.disk.mu.Unlock()
	if k.disk.held < diskBytes && len(k.refused) == 0 {
		return true, false
	}
	if k.drop && k.disk.standsFor(stallTime) {
		return true, true
	}
	k.disk.asked = true
	return false, false
}

// idle reports whether everything is in the log; where not, the loop is told
// once it is, or once the disk has refused the rest.
func (k *sink) idle() bool {
	k.disk.mu.Lock()
	defer k.disk.mu.Unlock()
	return k.reached(k.given)
}

// has is idle for what was given until then.
func (k *sink) has(given int) bool {
	k.disk.mu.Lock()
	defer k.disk.mu.Unlock()
	return k.reached(given)
}

func (k *sink) reached(given int) bool {
	if k.given-k.waiting >= given {
		return true
	}
	if k.tell == 0 || k.tell > given {
		k.tell = given
	}
	return false
}

// stands reports whether the disk takes nothing, and is not just busy.
func (k *sink) stands() bool {
	k.disk.mu.Lock()
	defer k.disk.mu.Unlock()
	return k.disk.standsFor(standTime)
}

// store hands what was read, the first n bytes of the buffer, to the log.
func (s *server) store(p *proc, o *output, n int) {
	k := p.sink
	j := job{sink: k, what: appendLog, chunk: chunk{At: time.Now(), Stream: o.stream}, lost: k.lost, held: n + jobSize}
	k.lost = 0
	if n >= handOver {
		j.Data, j.held = s.buf[:n], readSize
		s.buf = k.disk.buffer()
		s.tidySoon()
	} else {
		j.Data = slices.Clone(s.buf[:n])
	}
	k.disk.put(j)
}

// lastNotice has the log tell what was dropped at the very end: nothing comes
// any more that it could go before.
func (s *server) lastNotice(p *proc) {
	if k := p.sink; k != nil && k.drop {
		k.disk.put(job{sink: k, what: appendLog, chunk: chunk{At: time.Now()}, lost: k.lost})
		k.lost = 0
	}
}

// block stops reading a process's output until its disk takes some again.
func (s *server) block(p *proc) {
	for i := range p.outs {
		s.loop.drop(p.outs[i].fd)
	}
	s.blocked[p] = struct{}{}
	s.warnStuck(p)
	s.retrySoon()
}

// settled reports whether all that a process wrote is in its log. Its pipe may
// wait though its own log has nothing to write: the disk is full of others'. And
// its log may have more to write: that of those who go on writing to its pipe.
func (s *server) settled(p *proc) bool {
	return p.drained && p.sink.has(p.last)
}

// noteDrained notes that the last of a process that has ended is on its way.
func (p *proc) noteDrained() {
	if p.sink != nil && !p.drained {
		p.sink.disk.mu.Lock()
		p.drained, p.last = true, p.sink.given
		p.sink.disk.mu.Unlock()
	}
}

func (s *server) retrySoon() {
	if s.retryAt.IsZero() {
		s.retryAt = time.Now().Add(retryTime)
	}
}

// retryBlocked offers the disks again what they did not take.
func (s *server) retryBlocked() {
	s.retryAt = time.Time{}
	for _, d := range s.disks {
		d.retry()
	}
	s.lookAtDisks()
	if len(s.blocked)+len(s.leaving)+len(s.late) > 0 {
		s.retrySoon()
	}
}

// lookAtDisks goes on with whatever waited for one.
func (s *server) lookAtDisks() {
	for p := range s.opening {
		s.logOpened(p)
	}
	for p := range s.blocked {
		if room, _ := p.sink.room(); !room {
			s.warnStuck(p)
			continue
		}
		delete(s.blocked, p)
		p.warned = false
		if _, leaves := s.leaving[p]; leaves && s.drainLast(p) {
			p.noteDrained()
		}
		for i := range p.outs {
			if err := s.watchOutput(p, &p.outs[i]); err != nil {
				s.log.Warn("output is no longer read", "process", keyName(p.Key), "error", err)
			}
		}
	}
	for p, since := range s.leaving {
		waits := time.Since(since)
		if s.settled(p) || waits > lateTime && p.sink.stands() || waits > busyTime {
			s.depart(p)
		}
	}
	for p := range s.late {
		s.releaseLate(p)
	}
	for _, d := range s.disks {
		d.mu.Lock()
		stuck := len(d.stuck) > 0
		d.mu.Unlock()
		if stuck {
			s.retrySoon()
		}
	}
}

func (s *server) warnStuck(p *proc) {
	p.sink.disk.mu.Lock()
	refused := len(p.sink.refused) > 0
	p.sink.disk.mu.Unlock()
	if refused && !p.warned {
		p.warned = true
		s.log.Warn("the log does not take output: its process waits", "process", keyName(p.Key), "log", p.sink.log.Path())
	}
}

// logOpened goes on with a process once its log is open, or ends it where that failed.
func (s *server) logOpened(p *proc) {
	k := p.sink
	k.disk.mu.Lock()
	opened, err := k.opened, k.openErr
	k.disk.mu.Unlock()
	if !opened {
		return
	}
	delete(s.opening, p)
	if err != nil && !(k.drop && errs.Is(err, errs.Unavailable)) {
		p.logErr, p.doomed = err, true
		p.kill()
		return
	}
	s.answerReady(p)
}

// closeSink lets go of a log.
func (s *server) closeSink(k *sink) {
	if k.users--; k.users == 0 {
		k.disk.put(job{sink: k, what: closeLog})
	}
}

// releaseLate lets go of the output of a process that is forgotten, once all of
// it is in the log.
func (s *server) releaseLate(p *proc) {
	if _, waits := s.blocked[p]; waits {
		return
	}
	s.drainLast(p)
	if _, waits := s.blocked[p]; waits || !p.sink.idle() {
		s.retrySoon()
		return
	}
	delete(s.late, p)
	for i := range p.outs {
		s.loop.close(&p.outs[i].fd)
	}
	s.closeSink(p.sink)
}

package keeper

import (
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

const (
	// diskBytes bounds what waits for one file system. A process whose output
	// finds no room is not read until there is: its pipe fills, and it waits.
	diskBytes = 1 << 20
	// stallTime after which a disk that takes nothing is given up on by those
	// who would rather lose output than wait.
	stallTime = time.Second
	// keptBuffers are held for the next output; the rest is the collector's.
	keptBuffers = diskBytes / readSize
)

// disk writes the logs that lie on one file system, in a goroutine of its own:
// a file system that is slow, or stands still, stops that goroutine and whoever
// writes there faster than it takes, and nothing else. Order is kept, for one
// goroutine does one thing after the other.
type disk struct {
	device uint64
	poke   func() // tells the loop to look
	wake   chan struct{}
	ended  chan struct{}

	mu     sync.Mutex
	queue  []job
	held   int       // bytes that wait, refused ones too
	began  time.Time // of what is under way; zero: nothing is
	stuck  map[*sink]struct{}
	asked  bool // the loop waits for room
	free   [][]byte
	closed bool
}

// jobSize is what a job takes of memory beside its chunk's bytes, which can be few.
const jobSize = 128

// job is one thing to do with a log: append a chunk, or open or close it.
type job struct {
	sink *sink
	what int
	chunk
	lost int64 // bytes that were dropped before this chunk
	held int   // what it takes of the disk's bound
}

const (
	appendLog = iota
	openLog
	closeLog
)

func newDisk(device uint64, poke func()) *disk {
	d := &disk{device: device, poke: poke, wake: make(chan struct{}, 1), ended: make(chan struct{}), stuck: map[*sink]struct{}{}}
	go d.run()
	return d
}

// diskOf is the disk that a log lies on. The client has looked which it is: one
// that does not answer must not be asked by the loop.
func (s *server) diskOf(path string, device uint64) *disk {
	if device == 0 { // a former build's client
		var st unix.Stat_t
		_ = unix.Stat(filepath.Dir(path), &st) // a folder that is missing is told when the log is opened
		device = st.Dev
	}
	d := s.disks[device]
	if d == nil {
		d = newDisk(device, s.wakeUp)
		s.disks[device] = d
	}
	return d
}

func (d *disk) put(j job) {
	d.mu.Lock()
	d.held += j.held
	j.sink.given++
	j.sink.waiting++
	d.queue = append(d.queue, j)
	d.mu.Unlock()
	d.rouse()
}

func (d *disk) rouse() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *disk) run() {
	defer close(d.ended)
	for range d.wake {
		for {
			j, ok := d.take()
			if !ok {
				break
			}
			err := j.sink.do(&j)
			d.done(j, err)
		}
		d.mu.Lock()
		closed := d.closed
		d.mu.Unlock()
		if closed {
			return
		}
	}
}

func (d *disk) take() (j job, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		d.queue = nil
		return j, false
	}
	j, d.queue = d.queue[0], d.queue[1:]
	d.began = time.Now()
	if _, stuck := d.stuck[j.sink]; stuck && j.what == appendLog {
		j.sink.refused = append(j.sink.refused, j) // behind what is refused already
		d.began = time.Time{}
		j.what = nothing
	}
	return j, true
}

// nothing is what is left to do for a chunk that was put behind others.
const nothing = -1

// done notes how a job went, and tells the loop what it waits for.
func (d *disk) done(j job, err error) {
	if j.what == nothing {
		return
	}
	d.mu.Lock()
	d.began = time.Time{}
	k := j.sink
	tell := false
	switch {
	case j.what == openLog:
		k.opened, k.openErr, tell = true, err, true
		k.waiting--
	case err != nil:
		k.refused = append(k.refused, j)
		d.stuck[k] = struct{}{}
		tell = true
	default:
		k.waiting--
		d.held -= j.held
		if cap(j.Data) == readSize && len(d.free) < keptBuffers {
			d.free = append(d.free, j.Data[:readSize])
		}
	}
	if d.asked && d.held <= diskBytes/2 {
		d.asked, tell = false, true
	}
	if k.tell > 0 && (k.given-k.waiting >= k.tell || k.waiting == len(k.refused)) {
		k.tell, tell = 0, true
	}
	d.mu.Unlock()
	if tell {
		d.poke()
	}
}

// buffer is one to read into.
func (d *disk) buffer() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.free); n > 0 {
		b := d.free[n-1]
		d.free = d.free[:n-1]
		return b
	}
	return make([]byte, readSize)
}

// shrink lets go of the buffers that are kept.
func (d *disk) shrink() {
	d.mu.Lock()
	d.free = nil
	d.mu.Unlock()
}

// retry offers the disk again what it refused.
func (d *disk) retry() {
	d.mu.Lock()
	var again []job
	for k := range d.stuck {
		again = append(again, k.refused...)
		k.refused = nil
		delete(d.stuck, k)
	}
	d.queue = append(again, d.queue...)
	d.mu.Unlock()
	if len(again) > 0 {
		d.rouse()
	}
}

// standsFor reports whether the disk refuses what it is given, or has been at one
// thing for longer than that; called with the lock held.
func (d *disk) standsFor(most time.Duration) bool {
	return len(d.stuck) > 0 || (!d.began.IsZero() && time.Since(d.began) > most)
}

// settle waits, no longer than for the given time, until nothing is under way
// and nothing is left to do but what was refused.
func (d *disk) settle(most time.Duration) error {
	for end := time.Now().Add(most); ; time.Sleep(200 * time.Microsecond) {
		d.mu.Lock()
		idle := len(d.queue) == 0 && d.began.IsZero()
		d.mu.Unlock()
		if idle {
			return nil
		}
		if time.Now().After(end) {
			return errs.New(errs.Unavailable, "a disk with logs does not answer: try again when it does")
		}
	}
}

// close ends the goroutine once it has written what it can; one that a disk
// holds is left behind.
func (d *disk) close(most time.Duration) {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.rouse()
	select {
	case <-d.ended:
	case <-time.After(most):
	}
}

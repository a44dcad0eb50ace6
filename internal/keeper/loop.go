package keeper

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/footprint"
)

// loop is the epoll loop. Output has an epoll of its own inside the other: so
// it can rest for a moment, in which many small writes become one, while
// requests and exits are served at once.
type loop struct {
	control int
	output  int
	sources []*source // by descriptor
	serial  int32

	lastRound time.Time
	rounds    int
	resting   time.Time // when output is looked at again; zero: now
}

// source is one descriptor and what to do when it is ready.
type source struct {
	serial int32
	ready  func(events uint32)
}

const (
	// Output rests for restTime once it has been busy for busyRounds, with no
	// pause of calmTime between them. What comes after a calm is never delayed.
	restTime   = 2 * time.Millisecond
	calmTime   = 10 * time.Millisecond
	busyRounds = 16
	// tidyTime after the last request memory is given back.
	tidyTime = 500 * time.Millisecond
)

func (l *loop) open() (err error) {
	if l.control, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if l.output, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return l.add(l.output, unix.EPOLLIN|unix.EPOLLONESHOT, l.outputRound)
}

// add watches a descriptor in the control epoll.
func (l *loop) add(fd int, events uint32, ready func(uint32)) error {
	return l.watch(l.control, fd, events, ready)
}

// addOutput watches a descriptor in the epoll that rests under load.
func (l *loop) addOutput(fd int, ready func(uint32)) error {
	return l.watch(l.output, fd, unix.EPOLLIN, ready)
}

func (l *loop) watch(epoll, fd int, events uint32, ready func(uint32)) error {
	l.serial++
	src := &source{serial: l.serial, ready: ready}
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: src.serial}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("watch a descriptor: %w", err)
	}
	for len(l.sources) <= fd {
		l.sources = append(l.sources, nil)
	}
	l.sources[fd] = src
	return nil
}

// change sets what a descriptor of the control epoll is watched for.
func (l *loop) change(fd int, events uint32) {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: l.sources[fd].serial}
	_ = unix.EpollCtl(l.control, unix.EPOLL_CTL_MOD, fd, &ev)
}

// drop forgets a descriptor; it is watched in either epoll or none.
func (l *loop) drop(fd int) {
	if fd < 0 || fd >= len(l.sources) || l.sources[fd] == nil {
		return
	}
	l.sources[fd] = nil
	if unix.EpollCtl(l.control, unix.EPOLL_CTL_DEL, fd, nil) != nil {
		_ = unix.EpollCtl(l.output, unix.EPOLL_CTL_DEL, fd, nil)
	}
}

// close forgets a descriptor and closes it.
func (l *loop) close(fd *int) {
	if *fd >= 0 {
		l.drop(*fd)
		_ = unix.Close(*fd)
		*fd = -1
	}
}

// round waits for events, at most until the deadline, and serves them.
func (l *loop) round(deadline time.Time) error {
	if !l.resting.IsZero() && (deadline.IsZero() || l.resting.Before(deadline)) {
		deadline = l.resting
	}
	timeout := -1
	if !deadline.IsZero() {
		timeout = max(0, int((time.Until(deadline)+time.Millisecond-1)/time.Millisecond))
	}
	var events [64]unix.EpollEvent
	n, err := unix.EpollWait(l.control, events[:], timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll: %w", err)
	}
	l.serve(events[:max(n, 0)])
	if !l.resting.IsZero() && !time.Now().Before(l.resting) {
		l.resting = time.Time{}
		l.change(l.output, unix.EPOLLIN|unix.EPOLLONESHOT)
	}
	return nil
}

func (l *loop) serve(events []unix.EpollEvent) {
	for i := range events {
		ev := &events[i]
		// A descriptor may have been closed, and its number given away again,
		// by an event of this very round.
		if src := l.sources[ev.Fd]; src != nil && src.serial == ev.Pad {
			src.ready(ev.Events)
		}
	}
}

// outputRound serves what has output, and decides when to look again.
func (l *loop) outputRound(uint32) {
	var events [64]unix.EpollEvent
	n, err := unix.EpollWait(l.output, events[:], 0)
	if err == nil {
		l.serve(events[:max(n, 0)])
	}
	now := time.Now()
	if now.Sub(l.lastRound) > calmTime {
		l.rounds = 0
	}
	l.lastRound = now
	if l.rounds++; l.rounds > busyRounds {
		l.resting = now.Add(restTime)
		return
	}
	l.change(l.output, unix.EPOLLIN|unix.EPOLLONESHOT)
}

// turn turns the loop until the keeper is to end.
func (s *server) turn() error {
	for !s.done {
		if err := s.loop.round(earlier(s.retryAt, s.tidyAt)); err != nil {
			return err
		}
		if s.reapDue {
			s.reapDue = false
			s.reap()
		}
		if !s.retryAt.IsZero() && !time.Now().Before(s.retryAt) {
			s.retryBlocked()
		}
		if !s.tidyAt.IsZero() && !time.Now().Before(s.tidyAt) {
			s.tidyAt = time.Time{}
			for _, d := range s.disks {
				d.shrink()
			}
			footprint.Shrink()
		}
		if s.upgrade != nil {
			s.replace()
		}
	}
	return nil
}

// tidySoon gives back, after a moment of rest, the memory that requests took.
func (s *server) tidySoon() { s.tidyAt = time.Now().Add(tidyTime) }

// earlier is the earlier of two moments, of which the zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

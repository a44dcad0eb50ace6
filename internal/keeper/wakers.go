package keeper

import (
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// listenToSignals turns signals into an event of the loop. They are caught, not
// ignored: what a program ignores, its children ignore too.
func (s *server) listenToSignals() (stop func()) {
	s.waker, _ = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	_ = s.loop.add(s.waker, unix.EPOLLIN, s.signalled)
	caught := make(chan os.Signal, 16)
	// Apart: where many children end at once, that is told often enough, and what
	// has no room is dropped.
	ends := make(chan os.Signal, 1)
	s.term = make(chan os.Signal, 1)
	signal.Notify(caught, unix.SIGCHLD, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2)
	signal.Notify(ends, unix.SIGTERM)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
		for {
			select {
			case _, ok := <-caught:
				if !ok {
					return
				}
			case sig := <-ends:
				select {
				case s.term <- sig:
				default:
				}
			}
			_, _ = unix.Write(s.waker, one)
		}
	}()
	return func() {
		signal.Stop(caught)
		signal.Stop(ends)
		close(caught)
		<-gone
	}
}

// listenToDisks lets a disk's goroutine wake the loop.
func (s *server) listenToDisks() (err error) {
	if s.written, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	return s.loop.add(s.written, unix.EPOLLIN, func(uint32) {
		var b [8]byte
		_, _ = unix.Read(s.written, b[:])
		s.lookAtDisks()
	})
}

func (s *server) wakeUp() { _, _ = unix.Write(s.written, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

func (s *server) signalled(uint32) {
	var b [8]byte
	_, _ = unix.Read(s.waker, b[:])
	s.reapDue = true
	select {
	case <-s.term:
		if err := s.mayEnd(); err != nil {
			s.log.Warn("not ending at SIGTERM", "reason", err.Error())
			return
		}
		s.done = true
	default:
	}
}

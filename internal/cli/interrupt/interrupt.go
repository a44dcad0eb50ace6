// Package interrupt undoes what may not outlive the program where a signal ends
// it: a terminal in raw mode, a file that is half written.
package interrupt

import (
	"os"
	"os/signal"
	"syscall"
)

// Undo has a function called when a signal ends the program, until done is called.
// The program then ends by that signal, as it would have without.
func Undo(undo func()) (done func()) {
	ends := []os.Signal{}
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) { // as under nohup
			ends = append(ends, s)
		}
	}
	if len(ends) == 0 {
		return func() {}
	}
	caught, over := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(caught, ends...)
	go func() { // ends with done
		select {
		case s := <-caught:
			undo()
			die(s)
		case <-over:
		}
	}()
	return func() {
		signal.Stop(caught)
		close(over)
	}
}

// die ends the program by a signal, for whoever waits for it to see.
func die(s os.Signal) {
	signal.Reset(s)
	n, _ := s.(syscall.Signal)
	_ = syscall.Kill(os.Getpid(), n)
	select {} // it comes to whichever thread the kernel likes
}

// Package thread runs functions on threads of their own, to which they may do
// what cannot be undone.
package thread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Apart runs fn on a thread that ends with it, so that fn may leave it in other
// namespaces or in another folder. What fn starts as goroutines runs elsewhere.
func Apart(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: so the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// The first thread alone does not end, and is what /proc shows of the
			// process: another one does it while this one waits.
			err := Apart(fn)
			runtime.UnlockOSThread()
			done <- err
			return
		}
		done <- fn()
	}()
	return <-done
}

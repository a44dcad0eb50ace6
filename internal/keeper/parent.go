package keeper

import "runtime"

// parent is the thread that forks every process, and that becomes the first one of
// the program that takes over. A process may ask to be killed when its parent ends
// (PR_SET_PDEATHSIG), and to the kernel that is the thread it was forked by: of those
// that an upgrade ends none may have children.
type parent chan func()

// serve does what is asked of the calling thread until the loop has ended.
func (p parent) serve(ended <-chan error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case fn := <-p:
			fn()
		case err := <-ended:
			return err
		}
	}
}

// do has fn done by the thread, and returns once it is.
func (p parent) do(fn func()) {
	done := make(chan struct{})
	p <- func() {
		defer close(done)
		fn()
	}
	<-done
}

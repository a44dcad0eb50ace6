package engine

import (
	"os"
	"time"

	"lus/internal/linux/ociruntime"
	"lus/internal/model/container"
)

// namespace is a network namespace that is being made, or is there.
type namespace struct {
	made chan struct{} // closed once it is there, or cannot be had
	file *os.File
	err  error
}

func (e *Engine) makeNamespace() *namespace {
	n := &namespace{made: make(chan struct{})}
	go func() { // ends with it
		defer close(n.made)
		n.file, n.err = e.Network.Namespace()
	}()
	return n
}

// wait returns it once it is there. The file stays the namespace's.
func (n *namespace) wait() (*os.File, error) {
	<-n.made
	return n.file, n.err
}

// close lets go of it; nil is fine.
func (n *namespace) close() {
	if n == nil {
		return
	}
	if file, _ := n.wait(); file != nil {
		_ = file.Close()
	}
}

// joinsNamespace reports whether the container's process joins a network namespace
// that was made before it, so that the networks need not wait for the process. Other
// runtimes make it themselves.
func joinsNamespace(h *container.HostConfig) bool {
	name, err := ociruntime.Name(h.Runtime)
	return err == nil && name == "" && ownNetwork(h)
}

// unusedAfter is how long a namespace waits for the start that it was made for.
const unusedAfter = 5 * time.Second

// prepare begins to make the namespace of a container that will be started next,
// while the rest of it is made.
func (e *Engine) prepare(u *unit) {
	n := e.makeNamespace()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.netns = n
	u.unused = time.AfterFunc(unusedAfter, func() { u.takeNamespace().close() })
}

// takeNamespace takes what prepare began; nil where it did not, or too long ago.
func (u *unit) takeNamespace() *namespace {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := u.netns
	if n != nil {
		u.unused.Stop()
		u.netns, u.unused = nil, nil
	}
	return n
}

package logs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

// Hub wakes the followers of one process when a log changes. It holds one
// inotify instance, however many follow, from the first follower on: closing
// one takes the kernel 10 to 25 ms, which every short run would wait for.
type Hub struct {
	mu     sync.Mutex
	file   *os.File            // nil until somebody follows
	fd     int                 // file's; its Fd method would make it blocking
	byDir  map[string]*watched // folder -> its watch
	byWD   map[int32]*watched
	closed bool
	wg     sync.WaitGroup
}

type watched struct {
	wd   int32
	dir  string
	subs map[*subscription]struct{}
}

// subscription is one follower's interest in one log.
type subscription struct {
	hub  *Hub
	dir  *watched
	base string
	wake chan struct{} // holds one token
	gone chan struct{} // closed when the log is removed or the hub closes
	once sync.Once     // closes gone
}

// NewHub returns a hub that costs nothing until something is followed.
func NewHub() *Hub {
	return &Hub{byDir: map[string]*watched{}, byWD: map[int32]*watched{}}
}

// Close ends every follower that uses the hub, after what is there to read.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	for _, w := range h.byDir {
		h.dropDir(w)
	}
	h.stop()
	h.mu.Unlock()
	h.wg.Wait()
}

func (h *Hub) subscribe(path string) (*subscription, error) {
	dir, base := filepath.Split(path)
	dir = filepath.Clean(dir)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errs.New(errs.Unavailable, "cannot follow %s: the daemon is stopping", path)
	}
	if err := h.start(); err != nil {
		return nil, err
	}
	w := h.byDir[dir]
	if w == nil {
		wd, err := unix.InotifyAddWatch(h.fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_ONLYDIR)
		if err != nil {
			return nil, errs.New(errs.Unavailable, "cannot follow %s: %w (fs.inotify.max_user_watches may be too low)", path, err)
		}
		w = &watched{wd: int32(wd), dir: dir, subs: map[*subscription]struct{}{}}
		h.byDir[dir], h.byWD[w.wd] = w, w
	}
	s := &subscription{hub: h, dir: w, base: base, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	w.subs[s] = struct{}{}
	return s, nil
}

// start opens the inotify instance; called with the lock held.
func (h *Hub) start() error {
	if h.file != nil {
		return nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return errs.New(errs.Unavailable, "cannot follow logs: %w (fs.inotify.max_user_instances may be too low)", err)
	}
	h.file, h.fd = os.NewFile(uintptr(fd), "inotify"), fd
	h.wg.Add(1)
	go h.read(h.file)
	return nil
}

func (h *Hub) stop() {
	if h.file != nil {
		h.file.Close()
		h.file = nil
		clear(h.byDir)
		clear(h.byWD)
	}
}

func (s *subscription) close() {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(s.dir.subs, s)
	if len(s.dir.subs) > 0 || h.byDir[s.dir.dir] != s.dir {
		return
	}
	delete(h.byDir, s.dir.dir)
	delete(h.byWD, s.dir.wd)
	if h.file != nil {
		_, _ = unix.InotifyRmWatch(h.fd, uint32(s.dir.wd))
	}
}

// dropDir tells the followers of a folder that nothing will come any more.
func (h *Hub) dropDir(w *watched) {
	for s := range w.subs {
		s.end()
	}
	clear(w.subs)
	delete(h.byDir, w.dir)
	delete(h.byWD, w.wd)
}

// read passes the kernel's events on until the instance is closed.
func (h *Hub) read(f *os.File) {
	defer h.wg.Done()
	buf := make([]byte, 16<<10)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return
		}
		h.mu.Lock()
		if h.file == f {
			h.dispatch(buf[:n])
		}
		h.mu.Unlock()
	}
}

func (h *Hub) dispatch(b []byte) {
	for len(b) >= unix.SizeofInotifyEvent {
		ev := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
		end := unix.SizeofInotifyEvent + int(ev.Len)
		if end > len(b) {
			return
		}
		base := strings.TrimRight(string(b[unix.SizeofInotifyEvent:end]), "\x00")
		b = b[end:]
		if ev.Mask&unix.IN_Q_OVERFLOW != 0 {
			for _, w := range h.byWD {
				w.notify("")
			}
			continue
		}
		w := h.byWD[ev.Wd]
		if w == nil {
			continue
		}
		if ev.Mask&unix.IN_IGNORED != 0 {
			h.dropDir(w)
			continue
		}
		if ev.Mask&unix.IN_DELETE != 0 {
			// A rotation never deletes the newest file: the log is removed. (The
			// folder itself gives no event while a reader holds a file of it.)
			w.end(base)
			continue
		}
		w.notify(base)
	}
}

// notify wakes who follows base; everyone where base is empty.
func (w *watched) notify(base string) {
	for s := range w.subs {
		if base == "" || base == s.base {
			s.poke()
		}
	}
}

func (w *watched) end(base string) {
	for s := range w.subs {
		if base == s.base {
			s.end()
		}
	}
}

func (s *subscription) end() { s.once.Do(func() { close(s.gone) }) }

func (s *subscription) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

var errClosed = errors.New("the log reader is closed")

// Package keeper is the server side of lus-keeper, the parent of every
// container's processes: it forks them, drains their output into logs, holds
// their terminals and the sockets of published ports, and learns how they end.
// It outlives the daemon, which asks it what runs.
//
// The first thread turns one epoll loop over everything, on bare descriptors and with
// one shared buffer: a keeper of a thousand containers is to take a few megabytes. It
// is the one that forks every process, and that becomes the first one of the program
// that takes over. A process may ask to be killed when its parent ends
// (PR_SET_PDEATHSIG), and to the kernel that is the thread it was forked by: of those
// that an upgrade ends none may have children. It never waits inside the loop for
// anything but the fork itself: logs are written by a goroutine for each file system
// they lie on (disk).
//
// # What outlives what
//
// A daemon that dies changes nothing here, but that processes tied to its
// connection are killed. The keeper replaces its own program in place (Upgrade)
// without losing a process, a byte or an exit. A keeper that is itself killed
// takes the output pipes with it, so its containers cannot go on: the next
// keeper finds their start records, kills what still runs, and reports each of
// them as ended with task.ExitUnknown. SIGTERM and Quit end the keeper only
// while nothing runs.
package keeper

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/boot"
	"lus/internal/base/errs"
	"lus/internal/base/layout"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
)

// Config is what a keeper needs to know.
type Config struct {
	Layout layout.Layout
	// Init is the program that is forked into containers, a sealed memfd.
	Init *os.File
	Log  *slog.Logger
	// Resume is the memfd with the state of the program that was this keeper
	// before; negative starts afresh.
	Resume int
	// Ready is called once requests are accepted.
	Ready func()
}

const (
	// initSlot is the descriptor the init is kept at. Forking moves the
	// child's descriptors to 0, 1, 2...; the one that is executed must be out
	// of their way, and what is passed must lie above it (see lift).
	initSlot = 299
	// connections bounds the clients at one time.
	connections = 256
	// lockTime is how long the lock of a former keeper is waited for.
	lockTime = 2 * time.Second
)

// server is the keeper. All of it belongs to the loop.
type server struct {
	layout layout.Layout
	log    *slog.Logger
	boot   string // this boot of the kernel

	loop   loop
	buf    []byte // the one buffer that output is read into
	frame  []byte // and those for a request and its descriptors
	oob    []byte
	listen int
	spare  int // a descriptor that is given up to refuse a client where there are no more
	lock   int // the lock file that keeps a second keeper out
	waker  int // eventfd that a signal writes to

	conns     map[uint64]*conn
	nextConn  uint64
	procs     map[task.Key]*proc
	pids      map[int]*proc
	unborn    int // inits that may yet name another process as theirs
	strangers strangers
	reapDue   bool
	held      map[string][]int

	disks      map[uint64]*disk    // by the device that logs lie on
	written    int                 // eventfd that a disk writes to
	blocked    map[*proc]struct{}  // wait for room on the disk
	opening    map[*proc]struct{}  // wait for their log to be open
	leaving    map[*proc]time.Time // have ended, then; their last output is on its way
	late       map[*proc]struct{}  // are forgotten, with output still on its way
	retryAt    time.Time
	tidyAt     time.Time // when memory is given back; zero: never
	term       chan os.Signal
	done       bool
	generation int
	upgrade    *upgrade
}

// Run serves until the keeper is told to end. It takes over the calling process, of
// whose first thread it is to be called.
func Run(cfg Config) error {
	runtime.LockOSThread()
	runtime.GOMAXPROCS(2) // the loop and a disk
	debug.SetGCPercent(25)
	s := &server{
		layout: cfg.Layout, log: cfg.Log, listen: -1, lock: -1,
		buf:   make([]byte, readSize),
		frame: make([]byte, wire.MaxInline+2),
		oob:   make([]byte, unix.CmsgSpace(4*wire.MaxFDs)+unix.CmsgSpace(64)),
		conns: map[uint64]*conn{}, procs: map[task.Key]*proc{}, pids: map[int]*proc{},
		held: map[string][]int{}, blocked: map[*proc]struct{}{},
		disks: map[uint64]*disk{}, opening: map[*proc]struct{}{}, leaving: map[*proc]time.Time{}, late: map[*proc]struct{}{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.prepare(cfg.Init); err != nil {
		return err
	}
	defer s.listenToSignals()()
	if err := s.listenToDisks(); err != nil {
		return err
	}
	var err error
	if cfg.Resume >= 0 {
		err = s.resume(cfg.Resume)
	} else {
		err = s.begin()
	}
	if err != nil {
		return err
	}
	if cfg.Ready != nil {
		cfg.Ready()
	}
	s.log.Info("keeper serves", "run", s.layout.Run, "pid", os.Getpid(), "processes", len(s.procs), "generation", s.generation)
	err = s.turn()
	s.end()
	return err
}

// prepare makes the process what a keeper must be.
func (s *server) prepare(init *os.File) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of orphans: %w", err)
	}
	unix.Umask(0o022)
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	// Killed for memory last of all; not permitted everywhere.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-999"), 0)
	var err error
	if s.boot, err = boot.ID(); err != nil {
		return err
	}
	if err := unix.Dup3(int(init.Fd()), initSlot, unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("keep the init: %w", err)
	}
	s.openSpare()
	return s.loop.open()
}

// begin starts a keeper that had no predecessor, or one that was killed.
func (s *server) begin() error {
	if err := os.MkdirAll(s.records(), 0o700); err != nil {
		return err
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	leaveSession(s.layout.Instance(), s.log)
	if err := s.findLeftovers(); err != nil {
		return err
	}
	return s.openSocket()
}

func (s *server) takeLock() error {
	fd, err := unix.Open(s.layout.Run+"/keeper.lock", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	// One that was just killed holds the lock until the kernel is done with it.
	for end := time.Now().Add(lockTime); ; time.Sleep(10 * time.Millisecond) {
		if err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			s.lock = fd
			return nil
		}
		if time.Now().After(end) {
			_ = unix.Close(fd)
			return errs.New(errs.Conflict, "a keeper for %s runs already: %w", s.layout.Run, err)
		}
	}
}

// openSocket begins to listen. The path appears by a rename once it may be
// connected to, with its mode.
func (s *server) openSocket() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	path := s.layout.KeeperSocket()
	fresh := path + ".new"
	_ = unix.Unlink(fresh)
	old := unix.Umask(0o177)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: fresh})
	unix.Umask(old)
	if err == nil {
		err = unix.Listen(fd, 64)
	}
	if err == nil {
		err = unix.Rename(fresh, path)
	}
	if err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	s.listen = fd
	return s.loop.add(fd, unix.EPOLLIN, s.accept)
}

// mayEnd says why the keeper cannot end, nil where it can.
func (s *server) mayEnd() error {
	if n := s.alive(); n > 0 {
		return errs.New(errs.Conflict, "the keeper has %d processes: stop them first", n)
	}
	return nil
}

func (s *server) alive() int {
	n := 0
	for _, p := range s.procs {
		if p.Phase != task.Ended {
			n++
		}
	}
	return n
}

// end leaves the run folder as it was found, but for the records of exits that
// nobody has acknowledged: the next keeper reports them.
func (s *server) end() {
	_ = unix.Unlink(s.layout.KeeperSocket())
	for _, c := range s.conns {
		s.closeConn(c)
	}
	for _, d := range s.disks {
		d.close(lateTime)
	}
	if len(s.procs) == 0 {
		_ = os.Remove(s.records())
	}
	returnToSession(s.layout.Instance())
	s.log.Info("keeper ends")
}

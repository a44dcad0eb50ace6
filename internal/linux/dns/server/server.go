// Package server is lus-dns: it answers the questions that containers ask at
// 127.0.0.11. The daemon hands it two sockets of each container's network
// namespace and a table of names for each network; with those it goes on when
// the daemon is dead. What containers send is hostile: everything is bounded.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/footprint"
	"lus/internal/linux/dns/wire"
)

// Server answers for many containers.
type Server struct {
	log  *slog.Logger
	stop context.CancelFunc
	// asking bounds the questions on their way to upstream servers, of all
	// containers together, beyond each one's first.
	asking chan struct{}
	host   hostServers
	rest   *footprint.Rest // from orders

	mu         sync.RWMutex
	tables     map[string]*table     // by network
	containers map[string]*container // by id
}

// maxAsking is how many questions may wait for upstream servers at once.
const maxAsking = 512

// New returns a server without containers.
func New(log *slog.Logger) *Server {
	return &Server{log: log, asking: make(chan struct{}, maxAsking), tables: map[string]*table{}, containers: map[string]*container{}}
}

// Run takes the daemon's orders on l until ctx ends or the daemon says stop,
// and returns when all its goroutines have ended.
func (s *Server) Run(ctx context.Context, l *net.UnixListener) error {
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	s.rest = footprint.NewRest()
	defer s.rest.Stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	defer s.stop() // what these wait for
	defer s.closeAll()
	unhook := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer unhook()
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			switch {
			case ctx.Err() != nil:
				return nil
			case !passes(err):
				return fmt.Errorf("waiting for the daemon: %w", err)
			}
			time.Sleep(100 * time.Millisecond)
			continue
		}
		conns.Go(func() {
			unhook := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer unhook()
			defer func() { _ = c.Close() }()
			if err := s.converse(c); err != nil && ctx.Err() == nil && !errors.Is(err, io.EOF) {
				s.log.Warn("talking with the daemon", "err", err)
			}
		})
	}
}

// passes reports whether a connection that could not be taken may be a moment
// later: containers that open many of their own can use the descriptors up.
func passes(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Server) closeAll() {
	s.mu.Lock()
	all := s.containers
	s.containers = map[string]*container{}
	s.mu.Unlock()
	for _, c := range all {
		c.close()
	}
}

// converse answers the orders of one connection, one after the other.
func (s *Server) converse(c *net.UnixConn) error {
	if err := onlyRoot(c); err != nil {
		return err
	}
	for {
		var q wire.Request
		files, err := wire.Read(c, &q)
		if err != nil {
			return err
		}
		s.rest.Touch()
		a := s.obey(q, files)
		for _, f := range files {
			_ = f.Close()
		}
		if err := wire.Write(c, a); err != nil {
			return err
		}
		if q.Op == wire.Stop {
			s.stop()
			return nil
		}
	}
}

// onlyRoot refuses peers that are not root, or whoever runs this.
func onlyRoot(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var inner error
	err = raw.Control(func(fd uintptr) { cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, inner); err != nil {
		return err
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("refused user %d (pid %d)", cred.Uid, cred.Pid)
	}
	return nil
}

func (s *Server) obey(q wire.Request, files []*os.File) (a wire.Answer) {
	switch q.Op {
	case wire.Hello:
		a.Pid = os.Getpid()
	case wire.Stop:
	case wire.Serve:
		if err := s.serve(q, files); err != nil {
			a.Error = err.Error()
		}
	case wire.Tune:
		a.NotFound = !s.tune(q)
	case wire.Drop:
		s.drop(q.Container)
	case wire.Names:
		s.setNames(q)
	case wire.List:
		s.mu.RLock()
		for id := range s.containers {
			a.Containers = append(a.Containers, id)
		}
		s.mu.RUnlock()
		slices.Sort(a.Containers)
	default:
		a.Error = fmt.Sprintf("unknown operation %q", q.Op)
	}
	return a
}

func (s *Server) serve(q wire.Request, files []*os.File) error {
	if q.Container == "" || len(files) != 2 {
		return fmt.Errorf("serving needs a container and two sockets, not %d", len(files))
	}
	c, err := newContainer(s, q, files[0], files[1])
	if err != nil {
		return err
	}
	s.mu.Lock()
	old := s.containers[q.Container]
	s.containers[q.Container] = c
	s.mu.Unlock()
	if old != nil {
		old.close()
	}
	c.start()
	return nil
}

func (s *Server) tune(q wire.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.containers[q.Container]
	if c == nil {
		return false
	}
	c.networks, c.upstream = q.Networks, servers(q.Upstream)
	return true
}

func (s *Server) drop(id string) {
	s.mu.Lock()
	c := s.containers[id]
	delete(s.containers, id)
	s.mu.Unlock()
	if c != nil {
		c.close()
	}
}

func (s *Server) setNames(q wire.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(q.Names) == 0 {
		delete(s.tables, q.Network)
		return
	}
	s.tables[q.Network] = newTable(q.Names)
}

package keeper

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/keeper/wire"
)

// conn is one client.
type conn struct {
	id    uint64
	fd    int
	watch uint64 // id of its Watch, zero for none
	queue []frame
	bytes int // in queue
}

// frame is a message that the client has not taken yet.
type frame struct {
	data []byte
	fds  []int // closed once sent
}

// maxQueue bounds what waits for a client that does not read.
const maxQueue = 32 << 20

func (s *server) accept(uint32) {
	for {
		fd, _, err := unix.Accept4(s.listen, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
			s.refuse(err)
			return
		}
		if err != nil {
			return
		}
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil || (cred.Uid != 0 && int(cred.Uid) != os.Geteuid()) || len(s.conns) >= connections {
			s.log.Warn("connection refused", "error", err, "connections", len(s.conns))
			_ = unix.Close(fd)
			continue
		}
		s.nextConn++
		s.addConn(&conn{id: s.nextConn, fd: fd})
	}
}

// refuse turns one client away for want of a descriptor, by one that is kept for
// that: whoever waits to be accepted would have the loop look again and again.
func (s *server) refuse(why error) {
	s.log.Warn("connection refused", "error", why, "connections", len(s.conns))
	_ = unix.Close(s.spare)
	if fd, _, err := unix.Accept4(s.listen, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK); err == nil {
		_ = unix.Close(fd)
	}
	s.openSpare()
}

func (s *server) openSpare() {
	var err error
	if s.spare, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		s.spare = -1
	}
}

func (s *server) addConn(c *conn) {
	if err := s.loop.add(c.fd, unix.EPOLLIN, func(events uint32) { s.connReady(c, events) }); err != nil {
		_ = unix.Close(c.fd)
		return
	}
	s.conns[c.id] = c
}

func (s *server) closeConn(c *conn) {
	if s.conns[c.id] != c {
		return
	}
	delete(s.conns, c.id)
	s.loop.close(&c.fd)
	for _, f := range c.queue {
		wire.CloseAll(f.fds)
	}
	c.queue = nil
	for _, p := range s.procs {
		p.forgetConn(c.id)
		if p.tied == c.id {
			p.kill()
		}
	}
}

func (s *server) connReady(c *conn, events uint32) {
	if events&unix.EPOLLOUT != 0 {
		s.flush(c)
	}
	// Not all at once: other clients wait too.
	for range 16 {
		if c.fd < 0 {
			return
		}
		data, fds, err := s.receive(c.fd)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return
		}
		if err != nil {
			if !errors.Is(err, errHangup) {
				s.log.Warn("connection closed", "reason", err.Error())
			}
			s.closeConn(c)
			return
		}
		var req wire.Request
		fds, err = wire.Decode(data, fds, &req)
		if err != nil {
			s.log.Warn("connection closed", "reason", err.Error())
			s.closeConn(c)
			return
		}
		s.handle(c, &req, fds)
	}
}

var errHangup = errors.New("the client hung up")

// receive takes one message, or refuses one that is too long or has more
// descriptors than it may. The bytes are valid until the next call.
func (s *server) receive(fd int) ([]byte, []int, error) {
	data, oob := s.frame, s.oob
	n, oobn, flags, _, err := unix.Recvmsg(fd, data, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return nil, nil, err
	}
	fds := wire.Descriptors(oob[:oobn])
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || len(fds) > wire.MaxFDs {
		wire.CloseAll(fds)
		return nil, nil, errors.New("a message was too long")
	}
	if n == 0 {
		wire.CloseAll(fds)
		return nil, nil, errHangup
	}
	return data[:n], fds, nil
}

// answer sends an answer and then closes the descriptors that go with it.
func (s *server) answer(to reply, r wire.Response, fds ...int) {
	c := s.conns[to.Conn]
	if c == nil {
		wire.CloseAll(fds)
		return
	}
	r.ID = to.ID
	data, fd, err := wire.Encode(r)
	if err != nil {
		wire.CloseAll(fds)
		fds = nil
		data, fd, err = wire.Encode(wire.Response{ID: to.ID, Error: wire.FromError(err)})
		if err != nil {
			return
		}
	}
	if fd >= 0 {
		fds = append([]int{fd}, fds...)
	}
	c.queue = append(c.queue, frame{data: data, fds: fds})
	c.bytes += len(data)
	s.flush(c)
}

func (s *server) fail(to reply, err error) {
	s.answer(to, wire.Response{Error: wire.FromError(err)})
}

// reply is where an answer goes.
type reply struct {
	Conn uint64 `json:"conn"`
	ID   uint64 `json:"id"`
}

// flush sends what the client takes; the rest waits for it.
func (s *server) flush(c *conn) {
	for len(c.queue) > 0 {
		f := c.queue[0]
		var oob []byte
		if len(f.fds) > 0 {
			oob = unix.UnixRights(f.fds...)
		}
		err := unix.Sendmsg(c.fd, f.data, oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			if c.bytes > maxQueue {
				s.log.Warn("connection closed", "reason", "the client does not read")
				s.closeConn(c)
				return
			}
			s.loop.change(c.fd, unix.EPOLLIN|unix.EPOLLOUT)
			return
		}
		if err != nil {
			// Its end will be read, too: what it still asks for is not lost on it.
			s.log.Warn("answer lost", "error", err)
		}
		wire.CloseAll(f.fds)
		c.bytes -= len(f.data)
		c.queue = c.queue[1:]
	}
	c.queue = nil
	s.loop.change(c.fd, unix.EPOLLIN)
}

// need checks how many descriptors came.
func need(fds []int, n int) error {
	if len(fds) != n {
		return errs.New(errs.Invalid, "the request needs %d descriptors, not %d", n, len(fds))
	}
	return nil
}

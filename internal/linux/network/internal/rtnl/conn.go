// Package rtnl talks to the kernel's routing netlink (and conntrack's) over
// sockets that stay open, several messages in one system call. It exists
// because attaching a container is on the path of every start: a general
// library opens a socket, lists and looks up for each step.
package rtnl

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Conn is one netlink socket. It belongs to the network namespace it was made
// in, whatever thread uses it later.
type Conn struct {
	mu   sync.Mutex
	fd   int
	seq  uint32
	buf  []byte // what is sent
	page []byte // what is received
}

// Dial opens a socket of a netlink protocol in the calling thread's namespace.
func Dial(protocol int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	c := &Conn{fd: fd}
	// The acknowledgement need not repeat the request; its text says what was wrong.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("netlink bind: %w", err)
	}
	return c, nil
}

// DialIn opens a routing socket in the namespace ns; home is the caller's own,
// to return to.
func DialIn(ns, home *os.File) (*Conn, error) {
	var c *Conn
	err := Inside(ns, home, func() (err error) {
		c, err = Dial(unix.NETLINK_ROUTE)
		return err
	})
	return c, err
}

// Inside runs fn on this thread within the network namespace ns. fn must not
// start goroutines that are to be in ns: they run on other threads.
func Inside(ns, home *os.File, fn func() error) error {
	return away(home, func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the container's network namespace: %w", err)
		}
		return fn()
	})
}

// New makes a network namespace and runs fn within it, as Inside does.
func New(home *os.File, fn func() error) (ns *os.File, err error) {
	err = away(home, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		return fn()
	})
	if err != nil && ns != nil {
		_ = ns.Close()
	}
	return ns, err
}

// away runs fn, which leaves the network namespace home, on this thread, and
// brings the thread back.
func away(home *os.File, fn func() error) error {
	runtime.LockOSThread()
	err := fn()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		// Going on would run the daemon inside a container's network.
		panic(fmt.Sprintf("cannot return to the host's network namespace: %v", back))
	}
	runtime.UnlockOSThread()
	return err
}

// Close closes the socket.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil
	}
	fd := c.fd
	c.fd = -1
	return unix.Close(fd)
}

// Error is the kernel's answer to one message of a batch.
type Error struct {
	Index int // which message
	Errno syscall.Errno
	Text  string // the kernel's own words, where it has some
}

// Error names the errno and the kernel's words.
func (e *Error) Error() string {
	if e.Text != "" {
		return e.Errno.Error() + " (" + e.Text + ")"
	}
	return e.Errno.Error()
}

// Unwrap gives the errno, for errors.Is.
func (e *Error) Unwrap() error { return e.Errno }

// Do sends the messages in one system call. The kernel carries them out one by
// one; the error is that of the first that failed, the others are still tried.
func (c *Conn) Do(msgs ...*Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return os.ErrClosed
	}
	first := c.seq + 1
	c.buf = c.buf[:0]
	for _, m := range msgs {
		c.seq++
		c.buf = append(c.buf, m.finish(c.seq, unix.NLM_F_ACK)...)
	}
	if err := unix.Sendto(c.fd, c.buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("netlink send: %w", err)
	}
	return c.acks(first, len(msgs))
}

func (c *Conn) acks(first uint32, n int) error {
	var failed *Error
	for n > 0 {
		err := c.receive(func(h header, body []byte) {
			if h.kind != unix.NLMSG_ERROR || h.seq < first {
				return
			}
			n--
			if e := ackError(int(h.seq-first), body); e != nil && failed == nil {
				failed = e
			}
		})
		if err != nil {
			return err
		}
	}
	if failed != nil {
		return failed
	}
	return nil
}

func ackError(index int, body []byte) *Error {
	if len(body) < 4 {
		return &Error{Index: index, Errno: syscall.EPROTO}
	}
	code := -int32(binary.NativeEndian.Uint32(body))
	if code == 0 {
		return nil
	}
	e := &Error{Index: index, Errno: syscall.Errno(code)}
	// The header of the request follows; on failure its payload may too.
	if len(body) >= 4+unix.NLMSG_HDRLEN {
		skip := 4 + unix.NLMSG_HDRLEN
		Attrs(body[skip:], func(kind uint16, data []byte) {
			if kind == unix.NLMSGERR_ATTR_MSG {
				e.Text = Text(data)
			}
		})
	}
	return e
}

// Dump sends one request for a list and calls fn for each answer's kind and body.
// torn tells that the kernel had to go on after the list had changed: it may lack
// what was there all the time.
func (c *Conn) Dump(m *Message, fn func(kind uint16, body []byte)) (torn bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ask(m, unix.NLM_F_DUMP, fn)
}

// Get sends one request for one answer.
func (c *Conn) Get(m *Message, fn func(kind uint16, body []byte)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.ask(m, unix.NLM_F_ACK, fn)
	return err
}

func (c *Conn) ask(m *Message, flags uint16, fn func(kind uint16, body []byte)) (torn bool, err error) {
	if c.fd < 0 {
		return false, os.ErrClosed
	}
	c.seq++
	want := c.seq
	if err := unix.Sendto(c.fd, m.finish(want, flags), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false, fmt.Errorf("netlink send: %w", err)
	}
	var failed *Error
	for done := false; !done; {
		err := c.receive(func(h header, body []byte) {
			if h.seq != want {
				return
			}
			torn = torn || h.flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case h.kind == unix.NLMSG_ERROR:
				failed, done = ackError(0, body), true
			case h.kind == unix.NLMSG_DONE: // with what ended the list
				failed, done = ackError(0, body[:min(4, len(body))]), true
			default:
				fn(h.kind, body)
			}
		})
		if err != nil {
			return torn, err
		}
	}
	if failed != nil {
		return torn, failed
	}
	return torn, nil
}

// header is what is of interest of a message's.
type header struct {
	kind, flags uint16
	seq         uint32
}

// receive reads one datagram and hands its messages to fn.
func (c *Conn) receive(fn func(h header, body []byte)) error {
	if c.page == nil {
		c.page = make([]byte, 32<<10)
	}
	n, _, err := unix.Recvfrom(c.fd, c.page, unix.MSG_TRUNC)
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return fmt.Errorf("netlink receive: %w", err)
	}
	if n > len(c.page) {
		return fmt.Errorf("netlink receive: an answer of %d bytes", n)
	}
	each(c.page[:n], fn)
	return nil
}

// each walks the messages of a datagram. A malformed tail ends the walk.
func each(b []byte, fn func(h header, body []byte)) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return
		}
		h := header{binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), binary.NativeEndian.Uint32(b[8:])}
		fn(h, b[unix.NLMSG_HDRLEN:size])
		b = b[min(len(b), (size+3)&^3):]
	}
}

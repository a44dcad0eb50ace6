// Package dns is the daemon's side of lus-dns, the name server of the
// containers: it starts it, hands it the sockets on which each container asks,
// and keeps its tables of names.
package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/dns/wire"
	"lus/internal/linux/firewall"
)

// Address is where containers ask, on port 53. The sockets are on another port,
// beyond those that the kernel gives out, and a rule in the container's
// namespace leads from the one to the other: so a program there may bind
// 0.0.0.0:53, as name servers do.
const (
	Address = "127.0.0.11"
	port    = 61053
)

// patience is how long lus-dns may take to answer before it is taken for dead.
const patience = 10 * time.Second

// Client is a connection to lus-dns. It is safe for concurrent use.
type Client struct {
	mu      sync.Mutex
	conn    *net.UnixConn
	life    *net.UnixConn
	watcher sync.WaitGroup
	dead    chan struct{}
	once    sync.Once
	home    *os.File // the daemon's own network namespace
	pid     int
}

// Ensure connects to the lus-dns at socket, and starts binary where there is
// none: as nobody's child, in a session of its own and, where cgroup names one
// (relative to every hierarchy), in that cgroup.
func Ensure(ctx context.Context, socket, binary, cgroup string) (*Client, error) {
	if c, err := Connect(ctx, socket); err == nil {
		return c, nil
	}
	run := filepath.Dir(socket)
	if err := os.MkdirAll(run, 0o711); err != nil {
		return nil, errs.New(errs.Unavailable, "cannot start lus-dns: %w", err)
	}
	unlock, err := lock(filepath.Join(run, "dns.start"))
	if err != nil {
		return nil, errs.New(errs.Unavailable, "cannot start lus-dns: %w", err)
	}
	defer unlock()
	if c, err := Connect(ctx, socket); err == nil {
		return c, nil
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, "--run", run, "--detach")
	cmd.Dir, cmd.Env, cmd.Stderr = "/", []string{}, &stderr
	if err := cmd.Run(); err != nil {
		why := strings.TrimSpace(stderr.String())
		if why == "" {
			why = err.Error()
		}
		return nil, errs.New(errs.Unavailable, "cannot start lus-dns (%s): %s", binary, why)
	}
	c, err := Connect(ctx, socket)
	if err == nil && cgroup != "" {
		move(c.pid, cgroup)
	}
	return c, err
}

func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// move puts the process into a cgroup of every hierarchy that takes it, so
// that the end of the daemon's unit is not its end. Where none does it stays.
func move(pid int, cgroup string) {
	const root = "/sys/fs/cgroup"
	dirs := []string{root}
	if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
		dirs, _ = filepath.Glob(root + "/*")
	}
	for _, d := range dirs {
		d = filepath.Join(d, filepath.Clean("/"+cgroup))
		if os.MkdirAll(d, 0o755) == nil {
			_ = os.WriteFile(filepath.Join(d, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
		}
	}
}

// Connect connects to a lus-dns that runs.
func Connect(ctx context.Context, socket string) (*Client, error) {
	conn, err := dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	// A second connection on which nothing is said: its end is the other's end.
	life, err := dial(ctx, socket)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		_, _ = conn.Close(), life.Close()
		return nil, err
	}
	c := &Client{conn: conn, life: life, dead: make(chan struct{}), home: home}
	c.watcher.Go(func() {
		_, _ = life.Read(make([]byte, 1))
		c.fail()
	})
	a, err := c.call(ctx, wire.Request{Op: wire.Hello})
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	c.pid = a.Pid
	return c, nil
}

func dial(ctx context.Context, socket string) (*net.UnixConn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "lus-dns does not answer: %w", err)
	}
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return nil, errs.New(errs.Internal, "%s gives a %T", socket, conn)
	}
	return uc, nil
}

func (c *Client) fail() { c.once.Do(func() { close(c.dead) }) }

// Done is closed when lus-dns has died or the client was closed. A new Ensure
// starts it again; what it served must then be served again.
func (c *Client) Done() <-chan struct{} { return c.dead }

// Pid is lus-dns's process.
func (c *Client) Pid() int { return c.pid }

// Close closes the connection. lus-dns goes on.
func (c *Client) Close() error {
	err := errors.Join(c.life.Close(), c.conn.Close())
	c.watcher.Wait()
	return errors.Join(err, c.home.Close())
}

// call asks and waits for the answer. What has been asked is waited for though ctx
// ends: to give it up would be to give up the connection, which all share.
func (c *Client) call(ctx context.Context, q wire.Request, files ...*os.File) (wire.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var a wire.Answer
	if err := ctx.Err(); err != nil {
		return a, err
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	err := wire.Write(c.conn, q, files...)
	if err == nil {
		_, err = wire.Read(c.conn, &a)
	}
	if err != nil {
		// The next answer might belong to this question.
		_ = c.conn.Close()
		c.fail()
		return a, errs.New(errs.Unavailable, "lus-dns does not answer: %w", err)
	}
	switch {
	case a.Error != "":
		return a, errs.New(errs.Internal, "lus-dns: %s", a.Error)
	case a.NotFound:
		return a, errs.New(errs.NotFound, "lus-dns does not serve container %s", q.Container)
	}
	return a, nil
}

// Serve answers the questions that are asked at 127.0.0.11 in netns with the
// names of the networks, and passes others on to upstream from the host's
// namespace; with no upstream, to the host's own servers. Serving again what
// is served changes networks and upstream.
func (c *Client) Serve(ctx context.Context, containerID string, netns *os.File, networks, upstream []string) error {
	q := wire.Request{Op: wire.Serve, Container: containerID, Networks: networks, Upstream: upstream}
	udp, tcp, err := c.sockets(netns)
	if errors.Is(err, syscall.EADDRINUSE) {
		q.Op = wire.Tune
		if _, tuned := c.call(ctx, q); !errs.Is(tuned, errs.NotFound) {
			return tuned
		}
		return errs.New(errs.Conflict, "container %s has something else at port %d, where the name service listens: use another port", containerID, port)
	}
	if err != nil {
		return fmt.Errorf("opening the name service of container %s: %w", containerID, err)
	}
	defer udp.Close()
	defer tcp.Close()
	// The way to the sockets is made while they are handed over.
	made := make(chan error, 1)
	go func() {
		made <- c.within(netns, func() error {
			return firewall.Redirect("lus_names", netip.AddrPortFrom(netip.MustParseAddr(Address), 53), port)
		})
	}()
	_, err = c.call(ctx, q, udp, tcp)
	return errors.Join(err, <-made)
}

// Drop stops answering for the container.
func (c *Client) Drop(ctx context.Context, containerID string) error {
	_, err := c.call(ctx, wire.Request{Op: wire.Drop, Container: containerID})
	return err
}

// SetNames replaces the whole table of a network; an empty one removes it.
func (c *Client) SetNames(ctx context.Context, networkID string, names map[string][]netip.Addr) error {
	_, err := c.call(ctx, wire.Request{Op: wire.Names, Network: networkID, Names: names})
	return err
}

// List tells which containers are served.
func (c *Client) List(ctx context.Context) ([]string, error) {
	a, err := c.call(ctx, wire.Request{Op: wire.List})
	return a.Containers, err
}

// Stop ends lus-dns.
func (c *Client) Stop(ctx context.Context) error {
	_, err := c.call(ctx, wire.Request{Op: wire.Stop})
	return err
}

// sockets opens the two sockets in the container's namespace.
func (c *Client) sockets(netns *os.File) (udp, tcp *os.File, err error) {
	err = c.within(netns, func() (err error) {
		if udp, err = bound(unix.SOCK_DGRAM); err != nil {
			return err
		}
		if tcp, err = bound(unix.SOCK_STREAM); err != nil {
			_ = udp.Close()
		}
		return err
	})
	return udp, tcp, err
}

// within runs fn on this thread in the container's namespace.
func (c *Client) within(netns *os.File, fn func() error) error {
	runtime.LockOSThread()
	if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err := fn()
	if back := unix.Setns(int(c.home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(fmt.Sprintf("cannot return to the host's network namespace: %v", back))
	}
	runtime.UnlockOSThread()
	return err
}

// bound makes a socket at 127.0.0.11, also while the loopback is still down.
func bound(kind int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(Address).As4()})
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, 16)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "dns"), nil
}

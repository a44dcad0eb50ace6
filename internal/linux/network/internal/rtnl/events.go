package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Events joins multicast groups of a protocol and calls fn for each message
// until stop is closed. News that begins with one of the kinds in but stays in
// the kernel. News may be lost in a rush; then fn is called with kind 0.
func Events(stop <-chan struct{}, protocol int, groups []int, but []uint16, fn func(kind uint16, body []byte)) error {
	c, err := Dial(protocol)
	if err != nil {
		return err
	}
	if err := c.deaf(but); err != nil {
		_ = c.Close()
		return fmt.Errorf("filtering netlink news: %w", err)
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			_ = c.Close()
			return fmt.Errorf("joining netlink group %d: %w", g, err)
		}
	}
	// The runtime's poller wakes us, so that waiting costs no thread.
	if err := unix.SetNonblock(c.fd, true); err != nil {
		_ = c.Close()
		return err
	}
	return listen(os.NewFile(uintptr(c.fd), "netlink"), stop, fn)
}

// deaf keeps messages of these kinds from waking the reader.
func (c *Conn) deaf(kinds []uint16) error {
	if len(kinds) == 0 {
		return nil
	}
	const kindAt = 4
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: kindAt}}
	for _, k := range kinds {
		// A load swaps what lies in the host's order.
		k = binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, k))
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(k)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: ^uint32(0)})
	return unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

func listen(f *os.File, stop <-chan struct{}, fn func(kind uint16, body []byte)) error {
	var waker sync.WaitGroup
	closed := make(chan struct{})
	waker.Go(func() {
		select {
		case <-stop:
			_ = f.SetReadDeadline(time.Now())
		case <-closed:
		}
	})
	defer func() {
		close(closed)
		waker.Wait()
		_ = f.Close()
	}()
	page := make([]byte, 8<<10)
	for {
		n, err := f.Read(page)
		select {
		case <-stop:
			return nil
		default:
		}
		switch {
		case errors.Is(err, unix.ENOBUFS):
			fn(0, nil)
		case err != nil:
			return err
		}
		each(page[:max(n, 0)], func(h header, body []byte) { fn(h.kind, body) })
	}
}

package rtnl

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Carrier makes the kernel take note of a link's carrier at once.
type Carrier struct{ fd int }

// NewCarrier opens the socket for that.
func NewCarrier() (*Carrier, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	return &Carrier{fd}, err
}

// Close closes the socket.
func (c *Carrier) Close() error { return unix.Close(c.fd) }

// Sync returns once the news that the link's other end has come up is known.
// The kernel tells a bridge of it by a worker of its own, and until then drops
// what comes: a first packet lost costs its sender a second. Asking for the
// link's state is what makes it look.
func (c *Carrier) Sync(name string) error {
	value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_GLINK}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}

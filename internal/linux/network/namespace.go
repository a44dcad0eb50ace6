package network

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"lus/internal/linux/network/internal/rtnl"
)

// Namespace makes a network namespace whose loopback is up. It lasts as long as
// the file is open or a process is in it, so a daemon that is killed leaves none.
func (m *Manager) Namespace() (*os.File, error) {
	ns, err := rtnl.New(m.home, loopback)
	if err != nil {
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	return ns, nil
}

// loopback brings lo of this thread's namespace up.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(s) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bringing its loopback up: %w", err)
	}
	return nil
}

package runtime

import (
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a container leaves may take the kernel long to let go of: a disk that it had
// mounted, with much to be written back. Meanwhile others are found, started and ended.
func TestNobodyWaitsForTheMountsOfAnother(t *testing.T) {
	t.Parallel()
	mounts, letGo := slowToClose(t)
	gone := &container{pid: 1, mounts: mounts}
	n := &Native{containers: map[string]*container{"gone": gone}}
	var held, now unix.Stat_t
	fd := int(mounts.Fd())
	if err := unix.Fstat(fd, &held); err != nil {
		t.Fatal(err)
	}
	dropped := make(chan struct{})
	go func() {
		defer close(dropped)
		n.drop("gone", gone)
	}()
	// The number is free, or another's, from the moment that the kernel is asked.
	for unix.Fstat(fd, &now) == nil && now.Ino == held.Ino {
		time.Sleep(time.Millisecond)
	}
	if n.mu.TryLock() {
		n.mu.Unlock()
	} else {
		t.Error("all others wait until the kernel has let go")
	}
	select {
	case <-dropped:
		t.Error("it was let go of at once: the test shows nothing")
	default:
	}
	letGo()
	<-dropped
	if n.containers["gone"] != nil {
		t.Error("it is remembered")
	}
}

// slowToClose is a file whose closing takes until letGo, or a minute: a connection
// that lingers on what nobody reads.
func slowToClose(t *testing.T) (f *os.File, letGo func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = unix.Sendmsg(fd, make([]byte, 1<<16), nil, nil, unix.MSG_DONTWAIT)
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 60}); err != nil {
		t.Fatal(err)
	}
	letGo = func() { _ = peer.Close() }
	t.Cleanup(letGo)
	return os.NewFile(uintptr(fd), "slow"), letGo
}

package client

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/test/need"
)

// A user whom the socket does not let in is told so, and not that there is no
// daemon; none is started for them either.
func TestASocketThatLetsNobodyIn(t *testing.T) {
	need.Root(t)
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := os.Chmod(socket, 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() error {
		t.Error("a daemon is started where one runs")
		return errors.New("none can be")
	}
	for _, c := range []*Client{{start: start}, {}} {
		c.network, c.address, c.shown = "unix", socket, "unix://"+socket
		err := dialAsNobody(t, c)
		if !errs.Is(err, errs.Denied) || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%v, want that the permission is missing", err)
		}
	}
}

// dialAsNobody dials with a thread that asks for files as another user. It ends
// with its goroutine, as that never unlocks it.
func dialAsNobody(t *testing.T, c *Client) error {
	t.Helper()
	answer := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setfsuid(65534); err != nil {
			answer <- err
			return
		}
		_, err := c.dial(t.Context())
		answer <- err
	}()
	return <-answer
}

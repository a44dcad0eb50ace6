package wire_test

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/linux/dns/wire"
)

func pair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return conns[0], conns[1]
}

func TestDescriptorsTravelWithTheirFrame(t *testing.T) {
	a, b := pair(t)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	go func() {
		_ = wire.Write(a, wire.Request{Op: wire.List})
		_ = wire.Write(a, wire.Request{Op: wire.Serve, Container: "c"}, f, f)
	}()
	for _, want := range []struct {
		op    string
		files int
	}{{wire.List, 0}, {wire.Serve, 2}} {
		var q wire.Request
		files, err := wire.Read(b, &q)
		if err != nil || q.Op != want.op || len(files) != want.files {
			t.Errorf("got %+v with %d descriptors, %v; want %+v", q, len(files), err, want)
		}
		for _, f := range files {
			f.Close()
		}
	}
}

// Whatever arrives, Read ends with a frame or an error.
func FuzzRead(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 2, 0, '{', '}'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0})
	f.Add([]byte{0, 0, 0, 9, 2, '{'})
	f.Add([]byte{0, 0, 0, 14, 0, '{', '"', 'o', 'p', '"', ':', '"', 'l', 'i', 's', 't', '"', '}', ' '})
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := pair(t)
		go func() {
			_, _ = a.Write(data)
			_ = a.CloseWrite()
		}()
		for {
			var q wire.Request
			files, err := wire.Read(b, &q)
			if len(files) > 0 {
				t.Fatal("descriptors came from nowhere")
			}
			if err != nil {
				return
			}
		}
	})
}

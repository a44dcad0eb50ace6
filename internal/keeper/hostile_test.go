package keeper_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/keeper/wire"
	"lus/internal/model/task"
)

// raw connects without a client.
func (b *bench) raw() int {
	b.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: b.where.KeeperSocket()})
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return fd
}

func TestHostileFramesHarmNobody(t *testing.T) {
	b := start(t)
	b.run(b.logged("c"), "exec sleep 60")
	before := countFDs(t, b.Greeting().Pid)
	sealed := func(size int64, seals int) int {
		fd, err := unix.MemfdCreate("x", unix.MFD_ALLOW_SEALING|unix.MFD_CLOEXEC)
		if err == nil {
			err = unix.Ftruncate(fd, size)
		}
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
		}
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	all := unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_WRITE
	null, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		fds  []int
	}{
		"nonsense":        {[]byte("hello"), nil},
		"no json":         {[]byte("J{"), nil},
		"long":            {append([]byte("J"), bytes.Repeat([]byte(" "), wire.MaxInline+100)...), nil},
		"no file":         {[]byte{wire.InFile}, nil},
		"not a memfd":     {[]byte{wire.InFile}, []int{null}},
		"not sealed":      {[]byte{wire.InFile}, []int{sealed(10, 0)}},
		"huge":            {[]byte{wire.InFile}, []int{sealed(wire.MaxFile+1, all)}},
		"zeroes":          {[]byte{wire.InFile}, []int{sealed(100, all)}},
		"with descriptor": {[]byte("J["), []int{null, null, null}},
	} {
		fd := b.raw()
		var oob []byte
		if c.fds != nil {
			oob = unix.UnixRights(c.fds...)
		}
		if err := unix.Sendmsg(fd, c.data, oob, nil, 0); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n, err := unix.Read(fd, make([]byte, 100)); n > 0 || errors.Is(err, unix.EAGAIN) {
			t.Errorf("%s: the connection was not closed: %d, %v", name, n, err)
		}
		unix.Close(fd)
	}
	unix.Close(null)
	for _, c := range []*task.Create{
		nil,
		{Key: key("../x"), Streams: task.Streams{Kind: task.StreamNull}},
		{Key: key(""), Streams: task.Streams{Kind: task.StreamNull}},
		{Key: key(strings.Repeat("x", 101)), Streams: task.Streams{Kind: task.StreamNull}},
		{Key: key("x"), Streams: task.Streams{Kind: "nonsense"}},
		{Key: key("x"), Streams: task.Streams{Kind: task.StreamLog, Log: task.Log{Path: "relative"}}},
		{Key: key("x"), Streams: task.Streams{Kind: task.StreamNull}, Files: -1},
		{Key: key("x"), Streams: task.Streams{Kind: task.StreamNull}, Files: 3},
		{Key: key("x"), Streams: task.Streams{Kind: task.StreamNull}, CloneFlags: unix.CLONE_FILES},
		{Key: key("x"), Streams: task.Streams{Kind: task.StreamNull}, CgroupKill: "/etc"},
	} {
		if _, err := b.Create(t.Context(), c, script(t, "exit 0", nil)); !errs.Is(err, errs.Invalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	large := b.logged("large")
	large.Record = bytes.Repeat([]byte("r"), 1<<20)
	b.run(large, "exit 1")
	if s := b.endOf(b.connect(), large.Key); !bytes.Equal(s.Record, large.Record) {
		t.Error("a large record was not kept")
	}
	if err := b.Delete(t.Context(), large.Key); err != nil {
		t.Error(err)
	}
	if list, err := b.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	// The one more is the connection of endOf, which ends with the test. A log is
	// closed a moment after its process is forgotten.
	eventually(t, func() bool { return countFDs(t, b.Greeting().Pid) <= before+1 })
	if st, err := os.Stat(b.where.KeeperSocket()); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", st, err)
	}
}

// A keeper that can open nothing more refuses who comes, and waits for better
// times without turning in circles.
func TestAKeeperWithoutDescriptorsRefuses(t *testing.T) {
	b := start(t)
	pid := b.Greeting().Pid
	free := 0
	for _, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", pid, free)); err == nil; _, err = os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", pid, free)) {
		free++
	}
	var had unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &had); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(free), Max: had.Max}, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		fd := b.raw()
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 60}); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(fd, make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("who comes is not refused: %d, %v", n, err)
		}
		unix.Close(fd)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &had, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.connect().List(t.Context()); err != nil {
		t.Error(err)
	}
}

func countFDs(t testing.TB, pid int) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestHeldDescriptors(t *testing.T) {
	b := start(t)
	if err := b.Hold(t.Context(), "", os.Stdin); !errs.Is(err, errs.Invalid) {
		t.Errorf("no name: %v", err)
	}
	for _, name := range []string{"b", "a"} {
		if err := b.Hold(t.Context(), name, os.Stdin, os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
	held, err := b.connect().Held(t.Context())
	if err != nil || !slices.Equal(held, []string{"a", "b"}) {
		t.Errorf("%q, %v", held, err)
	}
	for range 2 {
		if err := b.Drop(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Take(t.Context(), "a"); !errs.Is(err, errs.NotFound) {
		t.Errorf("dropped: %v", err)
	}
}

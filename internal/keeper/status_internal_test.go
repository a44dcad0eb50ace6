package keeper

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/layout"
	"lus/internal/model/task"
)

// The kernel can tell of an end before it hands out what was said last: it looks
// for a message first, and whether the other side is closed afterwards. What was
// said is the reason of a failure and must not be lost.
func TestAnEndIsBelievedTheSecondTime(t *testing.T) {
	reason := "E\x02\x00\x00\x00exec /no/such"
	for name, said := range map[string][]string{
		"an end, the reason, the end":     {"", reason, ""},
		"the reason, then the end":        {reason, "", ""},
		"ready, an end, the reason, ends": {"R", "", reason, ""},
	} {
		null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		s, p := &server{}, &proc{status: null}
		calls := 0
		s.readStatus(p, func(_ int, b, _ []byte, _ int) (int, int, int, unix.Sockaddr, error) {
			if calls++; calls > len(said) {
				t.Fatalf("%s: read on behind the end", name)
			}
			return copy(b, said[calls-1]), 0, 0, nil, nil
		})
		if p.failure == nil || p.failure.Errno != 2 || p.failure.Step != "exec /no/such" {
			t.Errorf("%s: the reason is %v", name, p.failure)
		}
		if p.status != -1 || calls != len(said) {
			t.Errorf("%s: %d of %d were read, and the socket is %d", name, calls, len(said), p.status)
		}
	}
}

// A process that goes at once may be over before the init that forked it has said
// the rest of what it has to say.
func TestAProcessMayEndBeforeItsInitIsHeardOut(t *testing.T) {
	run := t.TempDir()
	if err := os.Mkdir(filepath.Join(run, "keeper"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &server{layout: layout.Layout{Run: run}, pids: map[int]*proc{}, procs: map[task.Key]*proc{}, unborn: 1}
	if err := s.loop.open(); err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(pair[1]) }() // that of the init, which is still to speak
	p := &proc{Status: task.Status{Key: task.Key{Container: "c", Exec: "x"}, Phase: task.Waiting, Pid: 1}, goes: true, told: true, unborn: true,
		status: pair[0], pidfd: -1, stdin: -1, outs: [2]output{{fd: -1}, {fd: -1}}}
	s.procs[p.Key], s.pids[1] = p, p
	child := exec.Command("sh", "-c", "exit 7")
	if err := child.Run(); err == nil {
		t.Fatal("it did not fail")
	}
	status := child.ProcessState.Sys().(interface{ ExitStatus() int })
	s.strangers.note(child.Process.Pid, unix.WaitStatus(status.ExitStatus()<<8), time.Now())
	s.statusMessage(p, binary.LittleEndian.AppendUint32([]byte{'P'}, uint32(child.Process.Pid)), nil)
	if p.Phase != task.Ended || p.Started.IsZero() || p.Exit.Code != 7 {
		t.Errorf("%+v, exit %+v", p.Status, p.Exit)
	}
}

package thread_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/thread"
)

const alone = "LUS_TEST_ALONE"

// TestMain leaves nothing but the first thread to run goroutines on, where a
// test asks for it.
func TestMain(m *testing.M) {
	if os.Getenv(alone) == "" {
		os.Exit(m.Run())
	}
	runtime.GOMAXPROCS(1)
	first := func() bool { return unix.Gettid() == unix.Getpid() }
	came := 0
	for range 100 {
		here := make(chan bool)
		go func() { here <- first() }()
		if <-here {
			came++
		}
		ran := false
		if thread.Apart(func() error { ran = true; return when(first(), errFirst) }) != nil || !ran {
			os.Exit(1)
		}
	}
	if came == 0 {
		os.Exit(2)
	}
}

var errFirst = errors.New("this is the first thread")

func when(is bool, err error) error {
	if is {
		return err
	}
	return nil
}

// The first thread of a process does not end: what is left with a thread is
// never left with that one.
func TestTheFirstThreadIsSpared(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), alone+"=1")
	out, err := cmd.CombinedOutput()
	switch cmd.ProcessState.ExitCode() {
	case 0:
	case 2:
		t.Skip("no goroutine came to the first thread")
	default:
		t.Errorf("%v: %s", err, out)
	}
}

func TestTheErrorIsTold(t *testing.T) {
	if err := thread.Apart(func() error { return errFirst }); !errors.Is(err, errFirst) {
		t.Error(err)
	}
}

// A thread that went elsewhere ends, and takes nobody along.
func TestTheThreadEnds(t *testing.T) {
	var tid int
	if err := thread.Apart(func() error {
		tid = unix.Gettid()
		return unix.Unshare(unix.CLONE_FS)
	}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := unix.Tgkill(os.Getpid(), tid, 0); errors.Is(err, unix.ESRCH) {
			return
		}
	}
	t.Error("the thread is still there")
}

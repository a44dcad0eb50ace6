package thread

import (
	"bytes"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// EaseMonitor lets the Go runtime's monitor thread sleep up to slack longer than
// it asks. While anything runs, it looks after the others every 20 µs, fifty
// times before it slows down: each look interrupts the work, and in a virtual
// machine costs a trip to the host. The price is that a goroutine in a long call of
// the kernel gives its place to another so much later, which is nothing to a program
// of one loop, and too much to the daemon, which has many goroutines in such calls.
// A command that lives for milliseconds gains less than this takes.
//
// The monitor starts no processes, so nobody inherits the slack. Without
// CAP_SYS_NICE, and where /proc is not, everything stays as it was.
func EaseMonitor(slack time.Duration) {
	tid := second()
	if tid == "" {
		return
	}
	fd, err := unix.Open("/proc/"+tid+"/timerslack_ns", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(fd, strconv.AppendInt(nil, slack.Nanoseconds(), 10)) // it is only slower without
	_ = unix.Close(fd)
}

// second is the thread of this process that was made second, which is the
// monitor's: the kernel lists threads as they were made.
func second() string {
	fd, err := unix.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	var names [512]byte
	n, err := unix.ReadDirent(fd, names[:])
	if err != nil || n <= 0 {
		return ""
	}
	_, _, tids := unix.ParseDirent(bytes.Clone(names[:n]), 2, nil)
	if len(tids) < 2 {
		return ""
	}
	return tids[1]
}
